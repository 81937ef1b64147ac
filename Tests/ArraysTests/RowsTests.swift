import Foundation
import ScorefieldArrays
import ScorefieldImages
import Testing

@Suite struct RowsTests {
  @Test("rows of a file are those of the whole array, of any type, in either order of elements and bytes")
  func everyType() throws {
    let suffixes = ["-rows.npy", "-columns.npy", "-big-rows.npy", "-big-columns.npy"]
    let files = try names(in: golden("")).filter { name in
      suffixes.contains(where: name.hasSuffix)
    }
    #expect(files.count > 40)
    for name in files {
      let (file, whole) = (try NPYFile(golden(name)), try NPY.read(golden(name)))
      #expect(file.shape == whole.shape && file.elementType == whole.elementType && bits(file.array) == bits(whole))
      let count = whole.shape[0]
      let length = whole.byteCount / count
      let positions = [count - 1, 0, 0] + Array(0..<count).reversed()
      let rows = file.rows(positions)
      #expect(rows.elementType == whole.elementType && rows.shape == [positions.count] + whole.shape.dropFirst())
      #expect(bits(rows) == positions.flatMap { bits(whole)[($0 * length)..<(($0 + 1) * length)] }, "\(name)")
      #expect(file.rows([]).shape == [0] + whole.shape.dropFirst())
    }
  }

  @Test("rows of vectors are numbers, and those of many axes come in row-major order")
  func shapes() throws {
    for shape in [[6], [6, 1], [1, 6], [3, 1, 2], [2, 3, 1, 2], [3, 0], [0, 3]] {
      for isFortran in [false, true] {
        let count = shape.reduce(1, *)
        var bytes = joined(
          try NPY.encode(HostArray(.int16, shape: shape, bytes: Bytes((0..<(2 * count)).map(UInt8.init))), name: "x"))
        if isFortran {
          let text = String(decoding: bytes.prefix(128).dropFirst(10), as: UTF8.self)
          bytes.replaceSubrange(10..<128, with: text.replacing("False, 's", with: "True,  's").utf8)
        }
        let file = try NPYFile(parsing: Bytes(bytes), name: "x")
        let whole = bits(file.array)
        let length = whole.count / max(shape[0], 1)
        let positions = Array((0..<shape[0]).reversed())
        #expect(bits(file.rows(positions)) == positions.flatMap { whole[($0 * length)..<(($0 + 1) * length)] })
      }
    }
  }

  @Test("a file larger than the memory is opened, and only the rows asked for are read")
  func sparse() throws {
    try inTemporaryFolder { folder in
      let (path, count) = ("\(folder)/large.npy", 1 << 33)
      var header = joined(try NPY.encode(HostArray(.uint8, shape: [0, 16], bytes: Bytes([])), name: path))
      let shape = "(\(count), 16), }"
      let start = try #require(header.firstIndex(of: UInt8(ascii: "(")))
      header.replaceSubrange(start..<(start + shape.utf8.count), with: shape.utf8)
      try put(header, at: path)
      let file = try #require(fopen(path, "r+"))
      defer { fclose(file) }
      // 128 GiB, all of it a hole but the last row.
      guard ftruncate(fileno(file), off_t(header.count + 16 * count)) == 0 else { return }
      fseek(file, header.count + 16 * (count - 1), SEEK_SET)
      fwrite([UInt8](1...16), 1, 16, file)
      fflush(file)
      let rows = try NPYFile(path).rows([0, count - 1, count / 2])
      #expect(bits(rows) == Array(repeating: 0, count: 16) + Array(1...16) + Array(repeating: 0, count: 16))
    }
  }

  @Test("positions that are not there stop the process")
  func outside() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try NPYFile(golden("grey.npy")).rows([0, 5])
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("NPYFile.rows([0, 5]): the array is [5, 7]"))
  }

  @Test("pictures of a folder are unpacked when they are asked for")
  func pictures() throws {
    let (folder, whole) = (try PNGFolder(golden("folder")), try NPY.read(golden("folder.npy")))
    #expect(folder.shape == whole.shape && folder.elementType == .uint8)
    let length = whole.byteCount / whole.shape[0]
    let positions = [1, 0, 1]
    #expect(try bits(folder.rows(positions)) == positions.flatMap { bits(whole)[($0 * length)..<(($0 + 1) * length)] })
    #expect(
      folder.error(inRow: 1, "is blue", repair: "paint it").path == "\(golden("folder"))/\(folder.names[1])")
  }

  @Test("a folder knows the shape of any picture before it is unpacked")
  func headers() throws {
    let pictures = try names(in: golden("")).filter { $0.hasSuffix(".png") }
    #expect(pictures.count > 8)
    for name in pictures {
      try inTemporaryFolder { path in
        try put(contents(of: golden(name)), at: "\(path)/a.png")
        let (folder, picture) = (try PNGFolder(path), try PNG.read(golden(name)))
        #expect(folder.shape == [1] + picture.shape && folder.names == ["a.png"])
        #expect(try bits(folder.rows([0])) == bits(picture))
      }
    }
  }

  @Test("a folder of pictures of two sizes is refused before any is unpacked")
  func sizes() throws {
    try inTemporaryFolder { folder in
      for (name, file) in [("a.png", "grey"), ("b.png", "bits"), ("c.png", "colour")] {
        try put(contents(of: golden("\(file).png")), at: "\(folder)/\(name)")
      }
      let error = #expect(throws: ArrayFileError.self) { try PNGFolder(folder) }
      #expect(error == (#expect(throws: ArrayFileError.self) { try PNG.readFolder(folder) }))
      try put([1], at: "\(folder)/b.png")
      let broken = #expect(throws: ArrayFileError.self) { try PNGFolder(folder) }
      #expect(broken?.description == "\(folder)/b.png: is not a .png file; convert it to PNG")
    }
  }

  @Test("a picture that was replaced by one of another size is an error when it is asked for")
  func replaced() throws {
    try inTemporaryFolder { path in
      let grey = try contents(of: golden("grey.png"))
      for name in ["a", "b"] { try put(grey, at: "\(path)/\(name).png") }
      let folder = try PNGFolder(path)
      try PNG.write(HostArray(.uint8, shape: [1, 2], bytes: Bytes([1, 2])), to: "\(path)/b.png")
      _ = try folder.rows([0])
      let error = #expect(throws: ArrayFileError.self) { try folder.rows([0, 1]) }
      #expect(
        error?.description == "\(path)/b.png: is [1, 2], but 'a.png' is [5, 7]; "
          + "make all pictures of a folder the same size, all grey or all coloured")
    }
  }
}
