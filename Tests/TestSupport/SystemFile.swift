import Foundation

/// The lines of a file of the system's, such as `/proc/self/maps`, which Foundation takes for an empty one at times.
package func systemLines(_ path: String) -> [String] {
  guard let file = fopen(path, "r") else { fatalError("\(path) cannot be read") }
  defer { fclose(file) }
  var buffer = [CChar](repeating: 0, count: 8192)
  var lines: [String] = []
  while fgets(&buffer, Int32(buffer.count), file) != nil {
    lines.append(String(decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
  }
  return lines
}
