import Foundation
import ScorefieldArrays
import Testing

@Suite struct StoredRowsTests {
  private func folder(_ name: String, in parent: String) throws -> String {
    let folder = "\(parent)/\(name)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    return folder
  }

  private func array(_ values: [Double], _ shape: [Int]) -> HostArray { HostArray(values, shape: shape) }

  @Test("rows of a file are those of the whole array, of any type, in either order of elements and bytes")
  func everyType() throws {
    let suffixes = ["-rows.npy", "-columns.npy", "-big-rows.npy", "-big-columns.npy"]
    let files = try names(in: golden("")).filter { name in suffixes.contains(where: name.hasSuffix) }
    var count = 0
    for name in files {
      let whole = try NPY.read(golden(name))
      guard whole.elementType.isInteger || whole.elementType.isFloatingPoint else { continue }
      let rows = try StoredRows(golden(name))
      count += 1
      let length = whole.byteCount / whole.shape[0]
      #expect(rows.shape == whole.shape && rows.elementType == whole.elementType && rows.byteCount == whole.byteCount)
      #expect(bits(try rows.rows(in: 0..<whole.shape[0])) == bits(whole), "\(name)")
      for range in [0..<1, 1..<whole.shape[0], 1..<1] {
        #expect(
          bits(try rows.rows(in: range))
            == Array(bits(whole)[(range.lowerBound * length)..<(range.upperBound * length)]))
      }
      let positions = [whole.shape[0] - 1, 0, 0] + Array(0..<whole.shape[0])
      #expect(
        bits(try rows.rows(positions)) == positions.flatMap { bits(whole)[($0 * length)..<(($0 + 1) * length)] })
    }
    #expect(count > 30)
  }

  @Test("shards follow one another in the order of their names, links and empty ones too, in either format")
  func folders() throws {
    try inTemporaryFolder { parent in
      for ending in ["npy", "safetensors"] {
        let folder = try folder(ending, in: parent)
        func put(_ values: [Double], _ name: String) throws {
          let array = array(values, [values.count / 2, 2])
          let path = "\(folder)/\(name).\(ending)"
          if ending == "npy" { try NPY.write(array, to: path) } else { try SafeTensors.write([("x", array)], to: path) }
        }
        try put([4, 5], "b")
        try put([0, 1, 2, 3], "a")
        try put([], "aa")
        try put([9, 9], ".hidden")
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder)/c.\(ending)", withDestinationPath: "\(folder)/a.\(ending)")
        try FileManager.default.linkItem(atPath: "\(folder)/b.\(ending)", toPath: "\(folder)/d.\(ending)")
        try Data().write(to: URL(filePath: "\(folder)/notes.txt"))
        let rows = try StoredRows(folder)
        #expect(rows.shape == [6, 2] && StoredRows.isFolderOfShards(folder))
        let values: [Double] = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]
        #expect(bits(try rows.rows(in: 0..<6)) == bits(array(values, [6, 2])))
        #expect(bits(try rows.rows([5, 2, 3])) == bits(array([4, 5, 4, 5, 0, 1], [3, 2])))
        #expect(
          rows.error(inRow: 4, "is odd", repair: "even it").description
            == "\(folder)/c.\(ending): row 1 is odd; even it")
      }
      #expect(!StoredRows.isFolderOfShards(parent))
    }
  }

  @Test("a file of several arrays is told which one is meant")
  func named() throws {
    try inTemporaryFolder { folder in
      let path = "\(folder)/two.safetensors"
      try SafeTensors.write([("x", array([1, 2], [2])), ("y", array([3, 4, 5], [3]))], to: path)
      #expect(bits(try StoredRows(path, array: "y").rows(in: 1..<3)) == bits(array([4, 5], [2])))
      #expect(
        throws: ArrayFileError(path, .badData, "holds 2 tensors ('x', 'y', …)", repair: "name the one that is meant")
      ) {
        try StoredRows(path)
      }
      #expect(throws: ArrayFileError(path, .badData, "no tensor named 'z'", repair: "it has 'x', 'y'")) {
        try StoredRows(path, array: "z")
      }
      let other = "\(folder)/one.npy"
      try NPY.write(array([1, 2], [2]), to: other)
      #expect(throws: ArrayFileError(other, .badData, "is no .safetensors file", repair: "name no array of it")) {
        try StoredRows(other, array: "x")
      }
    }
  }

  @Test("what does not belong together is named")
  func refused() throws {
    try inTemporaryFolder { parent in
      func expect(_ path: String, _ sentence: String) {
        let error = #expect(throws: ArrayFileError.self) { try StoredRows(path) }
        #expect(error?.description == sentence)
      }
      let empty = try folder("empty", in: parent)
      expect(empty, "\(empty): has no .npy or .safetensors files; give a folder of shards")
      expect("\(parent)/none.npy", "\(parent)/none.npy: no such file; check the path")

      let shapes = try folder("shapes", in: parent)
      try NPY.write(array([1, 2, 3, 4], [2, 2]), to: "\(shapes)/a.npy")
      try NPY.write(array([1, 2, 3], [1, 3]), to: "\(shapes)/b.npy")
      expect(
        shapes,
        "\(shapes)/b.npy: holds float64 rows of shape [3], but 'a.npy' float64 of [2]; keep one type and one shape in a folder"
      )

      let types = try folder("types", in: parent)
      try NPY.write(array([1, 2], [1, 2]), to: "\(types)/a.npy")
      try NPY.write(
        HostArray(.float32, shape: [1, 2], bytes: Bytes([UInt8](repeating: 0, count: 8))), to: "\(types)/b.npy")
      expect(
        types,
        "\(types)/b.npy: holds float32 rows of shape [2], but 'a.npy' float64 of [2]; keep one type and one shape in a folder"
      )

      let formats = try folder("formats", in: parent)
      try NPY.write(array([1, 2], [1, 2]), to: "\(formats)/a.npy")
      try SafeTensors.write([("x", array([1, 2], [1, 2]))], to: "\(formats)/b.safetensors")
      expect(formats, "\(formats): holds 'a.npy' and 'b.safetensors'; keep one format in a folder")

      let short = try folder("short", in: parent)
      try NPY.write(array([1, 2], [1, 2]), to: "\(short)/a.npy")
      try NPY.write(array([1, 2, 3, 4, 5, 6], [3, 2]), to: "\(short)/b.npy")
      try put(Array(contents(of: "\(short)/b.npy").dropLast(20)), at: "\(short)/b.npy")
      expect(short, "\(short)/b.npy: ends inside row 1 of 3, 20 bytes too early; get the whole file again")

      try NPY.write(HostArray(.bool, shape: [2], bytes: Bytes([0, 1])), to: "\(parent)/flags.npy")
      expect("\(parent)/flags.npy", "\(parent)/flags.npy: holds bool values; give real numbers or grey levels")
      try NPY.write(array([1], []), to: "\(parent)/number.npy")
      expect("\(parent)/number.npy", "\(parent)/number.npy: is a single number; give an array of shape [B, …]")
      try NPY.write(array([], [0, 2]), to: "\(parent)/nothing.npy")
      expect("\(parent)/nothing.npy", "\(parent)/nothing.npy: is empty (shape [0, 2]); give at least one element")
    }
  }

  @Test("a file that is written to, cut short, replaced or taken away is found out at the row that is read")
  func changed() throws {
    try inTemporaryFolder { parent in
      func expect(_ sentence: String, _ change: (String) throws -> Void) throws {
        let path = "\(parent)/\(UUID().uuidString).npy"
        try NPY.write(array([1, 2, 3, 4, 5, 6], [3, 2]), to: path)
        let rows = try StoredRows(path)
        _ = try rows.rows(in: 0..<3)
        try change(path)
        let error = #expect(throws: ArrayFileError.self) { try rows.rows(in: 1..<3) }
        #expect(error?.description == "\(path): \(sentence)")
      }
      let changed =
        "has changed since it was opened, as was found at row 1; leave it alone until the end, and start again"
      try expect(changed) { path in
        // A clock may tick only every few milliseconds.
        Thread.sleep(forTimeInterval: 0.05)
        let file = try #require(fopen(path, "r+"))
        fputc(0, file)
        fclose(file)
      }
      try expect(changed) { truncate($0, 150) }
      try expect(changed) { try NPY.write(array([1, 2, 3, 4, 5, 6], [3, 2]), to: $0) }
      try expect("cannot be opened any more at row 1 (No such file or directory); put it back, and start again") {
        unlink($0)
      }
    }
  }
}
