/// The checksum CRC-32C, of polynomial `0x1EDC6F41`, over bytes that may come in pieces.
///
/// - Cost: eight table look-ups per eight bytes.
///
/// Source: Castagnoli, Bräuer & Herrmann 1993, doi:10.1109/26.231911; RFC 3720, appendix B.4, for its test vectors.
public struct CRC32C: Sendable {
  private var remainder: UInt32 = .max

  public init() {}

  /// The checksum of all bytes so far.
  public var value: UInt32 { ~remainder }

  /// The checksum of some bytes.
  public static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var checksum = CRC32C()
    Array(bytes).withUnsafeBytes { checksum.update($0) }
    return checksum.value
  }

  /// Takes the bytes that follow.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    remainder = Self.tables.withUnsafeBufferPointer { tables in
      var (state, position) = (remainder, 0)
      while position + 8 <= bytes.count {
        let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)) ^ UInt64(state)
        state = tables[Int(truncatingIfNeeded: word & 0xFF) + 7 * 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 8 & 0xFF) + 6 * 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 16 & 0xFF) + 5 * 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 24 & 0xFF) + 4 * 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 32 & 0xFF) + 3 * 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 40 & 0xFF) + 2 * 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 48 & 0xFF) + 256]
        state ^= tables[Int(truncatingIfNeeded: word >> 56)]
        position += 8
      }
      while position < bytes.count {
        state = tables[Int((state ^ UInt32(bytes[position])) & 0xFF)] ^ state >> 8
        position += 1
      }
      return state
    }
  }

  /// Takes the text that follows.
  public mutating func update(_ text: String) {
    var text = text
    text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
  }

  /// Table `k` holds what a byte becomes after `k` more zero bytes; bits are reversed, as the checksum has them.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      tables[byte] = (0..<8).reduce(UInt32(byte)) { state, _ in state >> 1 ^ (state & 1 == 0 ? 0 : 0x82F6_3B78) }
    }
    for index in 256..<tables.count {
      let before = tables[index - 256]
      tables[index] = tables[Int(before & 0xFF)] ^ before >> 8
    }
    return tables
  }()
}
