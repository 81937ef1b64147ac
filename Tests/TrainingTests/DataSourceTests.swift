import Foundation
import Scorefield
import ScorefieldImages
import ScorefieldTestSupport
import Testing

@Suite struct DataSourceTests {
  private func sentence(_ body: () throws -> Void) -> String? {
    (#expect(throws: ArrayFileError.self) { try body() })?.description
  }

  private func array<T>(_ type: ElementType, _ values: [T], shape: [Int]) -> HostArray {
    HostArray(type, shape: shape, bytes: values.withUnsafeBytes { Bytes(copying: $0) })
  }

  @Test("samples in memory come in any order, as float32")
  func memory() {
    let data = TensorData(Tensor(rows: [[0, 1], [2, 3], [4, 5.5]]))
    #expect(data.count == 3 && data.sampleShape == [2])
    let batch = data.batch([2, 0, 2])
    #expect(batch.elementType == .float32 && batch.shape == [3, 2] && batch.doubles == [4, 5.5, 0, 1, 4, 5.5])
    #expect(data.batch([]).shape == [0, 2])
  }

  @Test("numbers in a file are taken as they are, of any type in either order")
  func numbers() throws {
    for type in ["float16", "float32", "float64"] {
      for order in ["rows", "columns", "big-rows", "big-columns"] {
        let path = golden("arrays/\(type)-\(order).npy")
        let whole = Tensor(try NPY.read(path)).to(.float32)
        let isFinite = whole.reshaped(whole.batch, -1).isFinite().all(1).flags
        let positions = isFinite.indices.filter { isFinite[$0] }.reversed()
        let data = try StoredData(npy: path)
        #expect(data.levels == nil && data.count == whole.batch && data.sampleShape == Array(whole.shape.dropFirst()))
        let batch = try data.batch(Array(positions))
        #expect(batch.elementType == .float32)
        #expect(batch.isIdentical(to: whole.selecting(Tensor(Array(positions)))))
      }
    }
  }

  @Test("whole numbers in a file are grey levels, scaled to [-1, 1]")
  func greyLevels() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/x.npy"
      let files = [
        array(.uint8, [0, 8, 16, 4] as [UInt8], shape: [4, 1]), array(.int8, [0, 8, 16, 4] as [Int8], shape: [4, 1]),
        array(.uint16, [0, 8, 16, 4] as [UInt16], shape: [4, 1]),
        array(.int32, [0, 8, 16, 4] as [Int32], shape: [4, 1]),
        array(.uint32, [0, 8, 16, 4] as [UInt32], shape: [4, 1]),
        array(.int64, [0, 8, 16, 4] as [Int64], shape: [4, 1]),
        array(.uint64, [0, 8, 16, 4] as [UInt64], shape: [4, 1]),
        array(.int16, [0, 8, 16, 4] as [Int16], shape: [4, 1]),
      ]
      for file in files {
        try NPY.write(file, to: path)
        let data = try StoredData(npy: path, levels: GreyLevels(17))
        #expect(data.levels == GreyLevels(17))
        let batch = try data.batch([3, 0, 1, 2])
        #expect(batch.elementType == .float32 && batch.shape == [4, 1] && batch.doubles == [-0.5, -1, 0, 1])
      }
      try NPY.write(array(.uint8, [0, 255, 128] as [UInt8], shape: [3]), to: path)
      let scalars = try StoredData(npy: path).batch([0, 1, 2])
      #expect(scalars.shape == [3] && scalars.floats == [-1, 1, 1.0 / 255])
    }
  }

  @Test("what is no number, or no level, names the file and the row")
  func badRows() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/x.npy"
      let nan = Double.nan
      let cases: [(HostArray, String)] = [
        (HostArray([0, 1, 2, nan, 4, 5], shape: [3, 2]), "row 1 contains NaN; remove or replace such values"),
        (
          HostArray([0, 1, 2, 3, 4, -.infinity], shape: [3, 2]),
          "row 2 contains infinity; remove or replace such values"
        ),
        (HostArray([0, 1e39, 2, 3, 4, nan], shape: [3, 2]), "row 0 has values too large for float32; scale the data"),
        (
          array(.int16, [0, 1, 2, 3, 17, -1] as [Int16], shape: [3, 2]),
          "row 2 has the grey level 17, outside 0…16; say how many levels there are, or give floating-point numbers"
        ),
        (
          array(.int8, [0, 1, 2, 3, 4, -1] as [Int8], shape: [3, 2]),
          "row 2 has the grey level -1, outside 0…16; say how many levels there are, or give floating-point numbers"
        ),
        (
          array(.int64, [0, 1, 2, .min, 17, -1], shape: [3, 2]),
          "row 1 has the grey level -9223372036854775808, outside 0…16; "
            + "say how many levels there are, or give floating-point numbers"
        ),
        (
          array(.uint64, [0, 1, 2, .max, 17, 1] as [UInt64], shape: [3, 2]),
          "row 1 has the grey level 1.8446744073709552e+19, outside 0…16; "
            + "say how many levels there are, or give floating-point numbers"
        ),
      ]
      for (file, expected) in cases {
        try NPY.write(file, to: path)
        let data = try StoredData(npy: path, levels: GreyLevels(17))
        #expect(
          sentence { _ = try data.batch([0, 2, 1].filter { expected.contains("row \($0) ") }) }
            == "\(path): \(expected)")
        #expect(
          sentence { _ = try data.batch(expected.hasPrefix("row 0") ? [1, 0] : [1, 2]) }?.hasPrefix(path) == true)
        #expect(try data.batch([expected.hasPrefix("row 0") ? 1 : 0]).shape == [1, 2])
      }
    }
  }

  @Test("a file that holds no samples is refused when it is opened")
  func noSamples() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/x.npy"
      let cases: [(HostArray, String)] = [
        (HostArray([1], shape: []), "is a single number; give an array of shape [B, …]"),
        (HostArray([], shape: [0, 3]), "is empty (shape [0, 3]); give at least one element"),
        (HostArray([], shape: [3, 0]), "is empty (shape [3, 0]); give at least one element"),
        (array(.bool, [true], shape: [1]), "holds bool values; give real numbers or grey levels"),
        (array(.complex64, [1, 2] as [Float], shape: [1]), "holds complex64 values; give real numbers or grey levels"),
      ]
      for (file, expected) in cases {
        try NPY.write(file, to: path)
        #expect(sentence { _ = try StoredData(npy: path) } == "\(path): \(expected)")
      }
    }
  }

  @Test("pictures of a folder are samples, and a bad one is named")
  func pictures() throws {
    let data = try StoredData(PNGFolder(golden("arrays/folder")))
    let whole = GreyLevels().scaled(Tensor(try NPY.read(golden("arrays/folder.npy"))), type: .float32)
    #expect(data.count == whole.batch && data.levels == GreyLevels())
    #expect(try data.batch([1, 0]).isIdentical(to: whole.selecting(Tensor([1, 0]))))

    try withTemporaryFolder { folder in
      try PNG.write(array(.uint8, [0, 9] as [UInt8], shape: [1, 2]), to: "\(folder)/a.png")
      let few = try StoredData(PNGFolder(folder), levels: GreyLevels(8))
      #expect(
        sentence { _ = try few.batch([0]) } == "\(folder)/a.png: has the grey level 9, outside 0…7; "
          + "say how many levels there are, or give floating-point numbers")
    }
  }

  @Test("labels are classes or vectors, one for each sample")
  func labels() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/y.npy"
      try NPY.write(array(.uint8, [2, 0, 5] as [UInt8], shape: [3]), to: path)
      let classes = try Labels(npy: path, count: 3)
      guard case .classes([2, 0, 5]) = classes else { Issue.record("\(classes)"); return }
      #expect(classes.count == 3 && classes.width == 6)
      #expect(classes.batch([2, 2, 1]).integers == [5, 5, 0] && classes.batch([0]).elementType == .int64)

      try NPY.write(HostArray([1, 2, 3, 4, 5, 6], shape: [3, 2]), to: path)
      let vectors = try Labels(npy: path, count: 3)
      #expect(vectors.count == 3 && vectors.width == 2)
      #expect(vectors.batch([2, 0]).floats == [5, 6, 1, 2] && vectors.batch([0]).shape == [1, 2])
      try NPY.write(HostArray([1, 2, 3], shape: [3]), to: path)
      #expect(try Labels(npy: path, count: 3).batch([1]).shape == [1, 1])
      try NPY.write(array(.int32, [1, 2, 3] as [Int32], shape: [3, 1]), to: path)
      #expect(try Labels(npy: path, count: 3).batch([1]).floats == [2])
    }
  }

  @Test("labels that do not fit the samples are refused")
  func badLabels() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/y.npy"
      let cases: [(HostArray, String)] = [
        (
          array(.int32, [1, 2] as [Int32], shape: [2]),
          "has 2 labels, but there are 3 samples; give one label for each sample"
        ),
        (array(.int32, [1, -2, 3] as [Int32], shape: [3]), "row 1 is the class -2; number the classes from 0"),
        (HostArray([1, 2, .nan], shape: [3]), "row 2 is not finite; remove or replace such values"),
        (HostArray([1, 2, 3], shape: [3, 1, 1]), "has shape [3, 1, 1]; give labels of shape [3] or [3, width]"),
        (HostArray([], shape: [3, 0]), "has shape [3, 0]; give labels of shape [3] or [3, width]"),
        (array(.bool, [true, true, true], shape: [3]), "holds bool values; give classes or real numbers"),
      ]
      for (file, expected) in cases {
        try NPY.write(file, to: path)
        #expect(sentence { _ = try Labels(npy: path, count: 3) } == "\(path): \(expected)")
      }
    }
  }
}
