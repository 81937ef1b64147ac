import ScorefieldArrays

/// The parts of a PNG file that make its pixels, without gamma, colour profiles, texts and other chunks.
///
/// libpng sees no others, so it neither changes values for a screen nor unpacks what nobody asked for. What the file
/// claims about its size is checked here, before anything is allocated for it.
struct PNGChunks {
  private(set) var bytes: [UInt8] = signature

  private static let signature: [UInt8] = [0x89] + "PNG\r\n".utf8 + [0x1A, 0x0A]
  private static let essential = ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"]
  /// No deflate stream unpacks to more times its size.
  private static let largestRatio = 1032

  init(of file: Bytes, name: String) throws(ArrayFileError) {
    func error(_ problem: String, repair: String = "get the whole file again") -> ArrayFileError {
      ArrayFileError(name, .badData, problem, repair: repair)
    }
    try file.withUnsafeBytes { (file) throws(ArrayFileError) in
      guard file.starts(with: Self.signature) else { throw error("is not a .png file", repair: "convert it to PNG") }
      func integer(at offset: Int) -> Int {
        Int(UInt32(bigEndian: file.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
      }

      var (position, compressed, rawSize) = (Self.signature.count, 0, 0)
      while true {
        guard position + 12 <= file.count, position + 12 + integer(at: position) <= file.count else {
          throw error("ends before its last chunk")
        }
        let length = integer(at: position)
        let kind = String(decoding: file[(position + 4)..<(position + 8)], as: UTF8.self)
        if position == Self.signature.count {
          guard kind == "IHDR", length == 13 else { throw error("has no header") }
          let (width, height) = (integer(at: position + 8), integer(at: position + 12))
          // Four channels are the most that are unpacked, and libpng counts in 32 bits.
          guard (1...PNG.largestSide).contains(width), (1...PNG.largestSide).contains(height),
            width * height <= Int(Int32.max) / 4
          else { throw error("claims \(height) × \(width) pixels", repair: "use pictures of 1 to 500 million pixels") }
          let channels = [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][Int(file[position + 17])] ?? 1
          rawSize = height * ((width * channels * Int(file[position + 16]) + 7) / 8)
        }
        if kind == "IDAT" { compressed += length }
        if Self.essential.contains(kind) { bytes += file[position..<(position + 12 + length)] }
        position += 12 + length
        if kind == "IEND" { break }
      }
      guard rawSize <= Self.largestRatio * compressed else {
        throw error("claims \(rawSize) bytes of pixels, more than its \(compressed) compressed bytes can hold")
      }
    }
  }
}
