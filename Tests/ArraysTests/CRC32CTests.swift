import ScorefieldArrays
import Testing

@Suite struct CRC32CTests {
  @Test("the checksum is that of the known vectors")
  func vectors() {
    // RFC 3720, appendix B.4; the last three are the check value of the catalogue of CRCs, a byte, and nothing.
    #expect(CRC32C.of(repeatElement(0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.of(repeatElement(0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.of(0..<32) == 0x46DD_794E)
    #expect(CRC32C.of((0..<32).reversed()) == 0x113F_DB5C)
    #expect(CRC32C.of("123456789".utf8) == 0xE306_9283)
    #expect(CRC32C.of("a".utf8) == 0xC1D0_4330)
    #expect(CRC32C.of([]) == 0)
  }

  @Test("bytes in pieces have the checksum of the whole")
  func pieces() {
    var generator = SplitMix64(state: 1)
    let bytes = (0..<100).map { _ in UInt8.random(in: 0...255, using: &generator) }
    // Bit by bit, as the polynomial says.
    let slow = ~bytes.reduce(UInt32.max) { state, byte in
      (0..<8).reduce(state ^ UInt32(byte)) { s, _ in s & 1 == 1 ? s >> 1 ^ 0x82F6_3B78 : s >> 1 }
    }
    for cut in 0...bytes.count {
      var checksum = CRC32C()
      bytes[..<cut].withUnsafeBytes { checksum.update($0) }
      bytes[cut...].withUnsafeBytes { checksum.update($0) }
      #expect(checksum.value == slow)
    }
    var text = CRC32C()
    text.update("12345")
    text.update("6789")
    #expect(text.value == 0xE306_9283)
  }
}
