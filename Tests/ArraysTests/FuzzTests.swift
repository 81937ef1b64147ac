import Foundation
import ScorefieldArrays
import ScorefieldImages
import Testing

/// Damaged files must be refused with an `ArrayFileError` or read; anything else would stop the process.
@Suite struct FuzzTests {
  @Test("two thousand damaged files are read or refused")
  func few() throws { try damage(times: 2_000, seed: 1) }

  @Test(
    "a hundred thousand damaged files are read or refused", .tags(.slow),
    .enabled(if: ProcessInfo.processInfo.environment["SCOREFIELD_SLOW_TESTS"] == "1"))
  func many() throws { try damage(times: 100_000, seed: 2) }

  private func damage(times: Int, seed: UInt64) throws {
    let readers: [(files: [String], read: (Bytes) throws(ArrayFileError) -> [HostArray])] = [
      (
        ["float32-columns.npy", "complex128-big-rows.npy", "version-2.npy", "shape-1x1x60x1.npy"],
        { bytes throws(ArrayFileError) in [try NPY.parse(bytes, name: "x")] }
      ),
      (
        ["names.safetensors", "other.safetensors", "numpy.safetensors"],
        { bytes throws(ArrayFileError) in
          let file = try SafeTensorsFile(parsing: bytes, name: "x")
          var arrays: [HostArray] = []
          for name in file.names { arrays.append(try file.array(named: name)) }
          return arrays
        }
      ),
      (
        ["table.csv", "table-names.csv", "table-tabs.csv"],
        { bytes throws(ArrayFileError) in [try CSV.parse(bytes, name: "x")] }
      ),
      (
        ["grey.png", "palette-alpha.png", "colour-alpha.png", "linear-gamma.png", "bits.png"],
        { bytes throws(ArrayFileError) in [try PNG.parse(bytes, name: "x")] }
      ),
    ]
    let seeds = try readers.map { try $0.files.map { try contents(of: golden($0)) } }

    var generator = SplitMix64(state: seed)
    var (accepted, refused) = (0, 0)
    for round in 0..<times {
      let reader = round % readers.count
      var file = seeds[reader].randomElement(using: &generator)!
      let donor = seeds[reader].randomElement(using: &generator)!
      for _ in 0..<Int.random(in: 1...3, using: &generator) { file.damage(with: donor, using: &generator) }
      if reader == 3, Bool.random(using: &generator) { file.repairChecksums() }
      do throws(ArrayFileError) {
        for array in try readers[reader].read(Bytes(file)) {
          // Touch every byte that the array claims to have.
          #expect(bits(array).count == array.byteCount)
        }
        accepted += 1
      } catch {
        #expect(!error.description.contains("\n") && error.category == .badData)
        refused += 1
      }
    }
    // A test in which nothing or everything is refused tests nothing.
    #expect(accepted > times / 100 && refused > times / 10)
  }
}

extension [UInt8] {
  /// One random change: a flipped bit, a cut, a splice, an insertion, or a number in the header.
  fileprivate mutating func damage(with donor: [UInt8], using generator: inout SplitMix64) {
    guard !isEmpty else { return }
    // Most of what can go wrong is in the first bytes.
    let end = Bool.random(using: &generator) ? count : Swift.min(count, 200)
    let place = Int.random(in: 0..<end, using: &generator)
    switch Int.random(in: 0..<7, using: &generator) {
    case 0: self[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 1: removeSubrange(place...)
    case 2: replaceSubrange(place..., with: donor[Swift.min(place, donor.count)...])
    case 3: insert(contentsOf: donor.prefix(Int.random(in: 1...64, using: &generator)), at: place)
    case 4: removeSubrange(place..<Swift.min(count, place + Int.random(in: 1...16, using: &generator)))
    case 5: self[place] = Array("{}[](),:'\"\\-0123456789\n;eTF\u{FF}".utf8).randomElement(using: &generator)!
    default:
      let numbers = ["0", "1", "-1", "65", "4294967296", "1152921504606846976", "9223372036854775807", "1e9", "007"]
      guard let digit = self[place...].firstIndex(where: { (0x30...0x39).contains($0) }) else { return }
      let digits = self[digit...].prefix { (0x30...0x39).contains($0) }.indices
      replaceSubrange(digits, with: numbers.randomElement(using: &generator)!.utf8)
    }
  }

  /// Makes the checksums of a PNG right again, so that damage gets past them.
  fileprivate mutating func repairChecksums() {
    var position = 8
    while position + 12 <= count {
      let length = self[position..<(position + 4)].reduce(0) { $0 << 8 | Int($1) }
      guard position + 12 + length <= count else { return }
      var crc: UInt32 = .max
      for byte in self[(position + 4)..<(position + 8 + length)] {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
      }
      let bytes = Swift.withUnsafeBytes(of: (~crc).bigEndian, Array.init)
      replaceSubrange((position + 8 + length)..<(position + 12 + length), with: bytes)
      position += 12 + length
    }
  }
}
