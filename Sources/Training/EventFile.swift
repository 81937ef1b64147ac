import ScorefieldArrays

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A log that TensorBoard shows: curves and pictures of a training.
///
/// Each entry is in the file when the call returns. A process that is killed leaves at most half an entry, at which
/// TensorBoard stops reading that file; the next process begins a new one.
public final class EventFile {
  private let file: AppendedFile
  private let clock: () -> Double

  public var path: String { file.path }

  /// Begins a new file in a folder, `events.out.tfevents.<seconds>.<host>.<process>`.
  ///
  /// - Parameters:
  ///   - folder: A folder that exists; other files in it are parts of the same log.
  ///   - firstStep: The first step that will be written. What other files have from there on, TensorBoard forgets.
  /// - Throws: Where it cannot be written.
  public convenience init(in folder: String, from firstStep: Int = 0) throws(ArrayFileError) {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    let host = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    try self.init(in: folder, from: firstStep, host: host, process: getpid()) {
      var time = timespec()
      clock_gettime(CLOCK_REALTIME, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
  }

  package init(
    in folder: String, from firstStep: Int, host: String, process: Int32, clock: @escaping () -> Double
  ) throws(ArrayFileError) {
    let now = clock()
    let host = String(host.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "_" })
    let seconds = max(Int(now), Self.lastSeconds(in: folder) + 1)
    file = try AppendedFile("\(folder)/\(Self.prefix)\(seconds).\(host).\(process)")
    self.clock = clock
    try file.truncate(to: 0)
    try file.append(
      Event(wallTime: now, step: 0, content: .version).record
        + Event(wallTime: now, step: firstStep, content: .start).record)
  }

  /// Adds a point to each of some curves.
  ///
  /// - Parameters:
  ///   - scalars: The curves' names and values, which become `float32`.
  ///   - step: Where they are.
  /// - Throws: Where they cannot be written.
  public func append(_ scalars: [(tag: String, value: Double)], at step: Int) throws(ArrayFileError) {
    try file.append(Event(wallTime: clock(), step: step, content: .scalars(scalars)).record)
  }

  /// Adds a picture to a row of them.
  ///
  /// - Parameters:
  ///   - png: The bytes of a `.png` file.
  ///   - tag: The name of the row.
  ///   - step: Where it is.
  /// - Throws: Where it cannot be written.
  public func append(png: Bytes, tag: String, at step: Int) throws(ArrayFileError) {
    guard let header = PNGHeader(of: png) else { fatalError("EventFile.append(png:): not the bytes of a .png file") }
    try file.append(Event(wallTime: clock(), step: step, content: .image(tag: tag, header, png)).record)
  }

  /// Waits until every entry is on the disk.
  public func synchronize() throws(ArrayFileError) { try file.synchronize() }

  private static let prefix = "events.out.tfevents."

  /// When the newest log of a folder began; 0 where there is none.
  ///
  /// TensorBoard reads files in the order of their names, so a new one must come last, whatever the clock says.
  private static func lastSeconds(in folder: String) -> Int {
    guard let entries = opendir(folder) else { return 0 }
    defer { closedir(entries) }
    var last = 0
    while let entry = readdir(entries) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      guard name.hasPrefix(prefix) else { continue }
      let digits = name.dropFirst(prefix.count).prefix { $0.isASCII && $0.isNumber }
      // More digits are no time.
      if digits.count <= 10 { last = max(last, Int(digits) ?? 0) }
    }
    return last
  }
}
