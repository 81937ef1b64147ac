import Foundation
import ScorefieldArrays
import ScorefieldImages
import Testing

@Suite struct PNGTests {
  static let pictures = [
    "grey", "colour", "colour-alpha", "grey-alpha", "bits", "palette", "palette-alpha", "grey-16", "linear-gamma",
  ]

  @Test("pictures have the values that Pillow sees", arguments: pictures)
  func goldens(_ name: String) throws {
    let picture = try PNG.read(golden("\(name).png"))
    let expected = try NPY.read(golden("\(name).npy"))
    #expect(picture.elementType == .uint8 && picture.shape == expected.shape)
    #expect(bits(picture) == bits(expected))
  }

  @Test("a folder is read in the order of its names")
  func folder() throws {
    let pictures = try PNG.readFolder(golden("folder"))
    let expected = try NPY.read(golden("folder.npy"))
    #expect(pictures.shape == [3, 4, 6] && bits(pictures) == bits(expected))
    #expect(try bits(PNG.readFolder(golden("folder/"))) == bits(expected))
  }

  @Test("a written picture is read again", arguments: [[5, 7], [5, 7, 3], [1, 1], [300, 200, 3]])
  func roundTrip(_ shape: [Int]) throws {
    try inTemporaryFolder { folder in
      var generator = SplitMix64(state: 1)
      let noise = (0..<shape.reduce(1, *)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
      let picture = HostArray(.uint8, shape: shape, bytes: Bytes(noise))
      try PNG.write(picture, to: "\(folder)/a.png")
      let again = try PNG.read("\(folder)/a.png")
      #expect(again.shape == shape && bits(again) == noise)
      #expect(try names(in: folder) == ["a.png"])
    }
  }

  @Test("a broken picture is refused in one sentence", arguments: refused)
  func refusals(_ input: BadInput) {
    let error = #expect(throws: ArrayFileError.self) { try PNG.parse(Bytes(input.bytes), name: "x.png") }
    #expect(error?.description == "x.png: \(input.sentence)")
    #expect(error?.category == .badData)
  }

  static let refused: [BadInput] = [
    BadInput("hello, world", "is not a .png file; convert it to PNG"),
    BadInput(png([]), "ends before its last chunk; get the whole file again"),
    BadInput(png([("IHDR", [0, 0, 0, 1])]), "has no header; get the whole file again"),
    BadInput(png([("IEND", [])]), "has no header; get the whole file again"),
    BadInput(png([("IHDR", header(1, 1))]), "ends before its last chunk; get the whole file again"),
    BadInput(png([]) + [255, 255, 255, 255] + "IHDR    ".utf8, "ends before its last chunk; get the whole file again"),
    BadInput(
      png([("IHDR", header(0xFFFF_FFFF, 0xFFFF_FFFF)), ("IEND", [])]),
      "claims 4294967295 × 4294967295 pixels; use pictures of 1 to 500 million pixels"),
    BadInput(
      png([("IHDR", header(0, 5)), ("IEND", [])]), "claims 0 × 5 pixels; use pictures of 1 to 500 million pixels"),
    BadInput(
      png([("IHDR", header(1_000_000, 1000)), ("IEND", [])]),
      "claims 1000000 × 1000 pixels; use pictures of 1 to 500 million pixels"),
    BadInput(
      png([("IHDR", header(20_000, 20_000)), ("IDAT", [UInt8](repeating: 0, count: 100)), ("IEND", [])]),
      "claims 400000000 bytes of pixels, more than its 100 compressed bytes can hold; get the whole file again"),
    BadInput(
      png([("IHDR", header(1, 1)), ("IDAT", [0, 0, 0, 0, 0, 0, 0]), ("IEND", [])]),
      "is a broken .png file (IHDR: CRC error); get the whole file again"),
  ]

  private static func header(_ height: UInt32, _ width: UInt32) -> [UInt8] {
    withUnsafeBytes(of: (width.bigEndian, height.bigEndian), Array.init) + [8, 0, 0, 0, 0]
  }

  /// Chunks whose checksums are zero.
  private static func png(_ chunks: [(kind: String, data: [UInt8])]) -> [UInt8] {
    var file: [UInt8] = [0x89] + "PNG\r\n".utf8 + [0x1A, 0x0A]
    for (kind, data) in chunks {
      file += withUnsafeBytes(of: UInt32(data.count).bigEndian, Array.init)
      file += kind.utf8 + data + [0, 0, 0, 0]
    }
    return file
  }

  @Test("what the compressed pixels lack is an error, not black")
  func truncated() throws {
    let file = try contents(of: golden("colour.png"))
    var broken = file
    broken[file.count / 2] ^= 0x10
    let error = #expect(throws: ArrayFileError.self) { try PNG.parse(Bytes(broken), name: "x.png") }
    #expect(error?.description == "x.png: is a broken .png file (IDAT: incorrect data check); get the whole file again")
  }

  @Test("a folder that cannot be used says why")
  func folders() throws {
    try inTemporaryFolder { folder in
      func sentence() -> String? { #expect(throws: ArrayFileError.self) { try PNG.readFolder(folder) }?.description }
      try put([0], at: "\(folder)/.hidden.png")
      try put([0], at: "\(folder)/readme.txt")
      #expect(sentence() == "\(folder): has no .png files; give a folder of pictures")
      try PNG.write(HostArray(.uint8, shape: [1, 2], bytes: Bytes([1, 2])), to: "\(folder)/a.png")
      try PNG.write(HostArray(.uint8, shape: [2, 1], bytes: Bytes([1, 2])), to: "\(folder)/b.png")
      #expect(
        sentence()
          == "\(folder)/b.png: is [2, 1], but 'a.png' is [1, 2]; "
          + "make all pictures of a folder the same size, all grey or all coloured")
      try put([0], at: "\(folder)/a.png")
      #expect(sentence() == "\(folder)/a.png: is not a .png file; convert it to PNG")
      let missing = #expect(throws: ArrayFileError.self) { try PNG.readFolder("\(folder)/missing") }
      #expect(missing?.description == "\(folder)/missing: no such folder; check the path")
      #expect(missing?.category == .missing)
      let file = #expect(throws: ArrayFileError.self) { try PNG.readFolder("\(folder)/a.png") }
      #expect(
        file?.description
          == "\(folder)/a.png: cannot be opened as a folder (Not a directory); check the path and its permissions")
    }
  }

  @Test("what is no picture is not written")
  func unwritable() {
    let sentence = "x.png: a picture is uint8 [height, width] or [height, width, 3], not"
    let doubles = #expect(throws: ArrayFileError.self) { try PNG.encode(HostArray([1], shape: [1, 1]), name: "x.png") }
    #expect(doubles?.description == "\(sentence) float64 [1, 1]; convert it first")
    #expect(doubles?.category == .cannotWrite)
    for shape in [[4], [1, 1, 4], [0, 4], [1, 1, 1, 3]] {
      let array = HostArray(.uint8, shape: shape, bytes: Bytes(Array(repeating: 0, count: shape.reduce(1, *))))
      let error = #expect(throws: ArrayFileError.self) { try PNG.encode(array, name: "x.png") }
      #expect(error?.description == "\(sentence) uint8 \(shape); convert it first")
    }
  }

  @Test("a mosaic lays pictures in rows, with a frame around each")
  func mosaics() {
    let grey = mosaic(
      of: HostArray(.uint8, shape: [3, 1, 2], bytes: Bytes([1, 2, 3, 4, 5, 6])), columns: 2, padding: 1)
    #expect(grey.shape == [5, 7])
    #expect(
      bits(grey) == [
        0, 0, 0, 0, 0, 0, 0,
        0, 1, 2, 0, 3, 4, 0,
        0, 0, 0, 0, 0, 0, 0,
        0, 5, 6, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0,
      ])
    let pixels = Bytes([1, 2, 3, 4, 5, 6])
    let colours = mosaic(of: HostArray(.uint8, shape: [2, 1, 1, 3], bytes: pixels), columns: 9, padding: 0)
    #expect(colours.shape == [1, 2, 3] && bits(colours) == [1, 2, 3, 4, 5, 6])
  }
}
