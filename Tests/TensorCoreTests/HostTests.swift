import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct HostTests {
  static let supported = ElementType.allCases.filter(Tensor.supports)

  @Test("all element types but the two of 6 bits are supported")
  func support() {
    #expect(Set(ElementType.allCases).subtracting(Self.supported) == [.float6E2M3, .float6E3M2])
  }

  @Test("bytes survive the way through a tensor", arguments: supported)
  func roundTrip(_ type: ElementType) {
    for shape in [[2, 3, 4], [4], [0, 4], [2, 0, 2], type == .float4E2M1 ? [2] : []] {
      let count = shape.reduce(1, *) * type.bitWidth / 8
      let bytes = Bytes(count: count) { buffer in
        for index in buffer.indices { buffer[index] = type == .bool ? UInt8(index % 2) : UInt8(37 * index % 251) }
      }
      let array = HostArray(type, shape: shape, bytes: bytes)
      let tensor = Tensor(array)
      #expect(tensor.elementType == type)
      let back = tensor.hostArray
      #expect(back.elementType == type && back.shape == shape)
      #expect(back.withUnsafeBytes { Array($0) } == array.withUnsafeBytes { Array($0) })
    }
  }

  @Test("what is not row-major on the device is row-major on the host")
  func order() {
    let x = Tensor.arange(0..<6).reshaped(2, 3)
    #expect(x.transposed.integers == [0, 3, 1, 4, 2, 5])
    #expect(x.transposed.hostArray.shape == [3, 2])
    #expect(x[Axis.all, Axis.every(2)].to(.float32).floats == [0, 2, 3, 5])
  }

  @Test("a tensor shares the memory of the array it is made from, and keeps it")
  func sharing() {
    final class Flag: @unchecked Sendable { var released = false }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 64)
    memory.copyBytes(from: [1.0, 2.0].flatMap { (value: Double) in withUnsafeBytes(of: value) { Array($0) } })
    let flag = Flag()
    var tensor: Tensor? = {
      let bytes = Bytes(start: UnsafeRawPointer(memory.baseAddress!), count: 16) { flag.released = true }
      return Tensor(HostArray(.float64, shape: [2], bytes: bytes))
    }()
    #expect(tensor?.doubles == [1, 2])
    memory.storeBytes(of: 5.0, as: Double.self)
    #expect(tensor?.doubles == [5, 2])
    var view = tensor.map { $0[1...] }
    tensor = nil
    #expect(!flag.released)
    #expect(view?.doubles == [2])
    view = nil
    #expect(flag.released)
    memory.deallocate()
  }

  @Test("a mapped file becomes a tensor without being read")
  func mapped() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "scorefield-\(UUID()).npy").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    // 64 MB, of which only the first page is looked at.
    try NPY.write(
      HostArray(
        .uint8, shape: [1 << 26], bytes: Bytes(count: 1 << 26) { $0.initializeMemory(as: UInt8.self, repeating: 7) }),
      to: path)
    let array = try NPY.read(path)
    let tensor = Tensor(array)
    #expect(tensor[..<3].integers == [7, 7, 7])
    #expect(tensor.shape == [1 << 26])
    // Shared with the file: a change of the file shows.
    let handle = try FileHandle(forUpdating: URL(filePath: path))
    try handle.seek(toOffset: handle.seekToEnd() - (1 << 26))
    try handle.write(contentsOf: Data([9]))
    try handle.close()
    #expect(tensor[0].item == 9)
    withExtendedLifetime(array) {}
  }

  @Test("Swift's numbers in and out")
  func numbers() {
    #expect(Tensor([1.5, -2]).doubles == [1.5, -2])
    #expect(Tensor([1.5, -2] as [Float], shape: [2]).floats == [1.5, -2])
    #expect(Tensor([3, .max]).integers == [3, .max])
    #expect(Tensor([true, false], shape: [2, 1]).flags == [true, false])
    #expect(Tensor([1.9, -1.9]).integers == [1, -1])
    #expect(Tensor([0.0, 0.5]).flags == [false, true])
    #expect(Tensor(rows: [[1, 2], [3, 4]]).shape == [2, 2])
    #expect(Tensor(rows: []).shape == [0, 0])
    #expect(Tensor(scalar: 2.5).shape == [] && Tensor(scalar: 2.5).item == 2.5)
    #expect(Tensor([7.0], shape: [1, 1]).item == 7)
    let empty = Tensor([] as [Double], shape: [0])
    #expect(empty.doubles == [] && empty.count == 0 && empty.sum().item == 0)
  }

  @Test("creation")
  func creation() {
    #expect(Tensor.zeros([2, 1]).doubles == [0, 0] && Tensor.zeros([2]).elementType == .float64)
    #expect(Tensor.ones([2], type: .int32).integers == [1, 1])
    #expect(Tensor.full([2], 2.5, type: .float16).doubles == [2.5, 2.5])
    let like = Tensor([1, 2], shape: [1, 2]).to(.float32)
    #expect(Tensor.zeros(like: like).shape == [1, 2] && Tensor.zeros(like: like).elementType == .float32)
    #expect(Tensor.ones(like: like).floats == [1, 1] && Tensor.ones(like: like).elementType == .float32)
    #expect(Tensor.identity(2).doubles == [1, 0, 0, 1])
    #expect(Tensor.linspace(from: -1, to: 1, count: 5).doubles == [-1, -0.5, 0, 0.5, 1])
    #expect(Tensor.arange(-2..<2).integers == [-2, -1, 0, 1] && Tensor.arange(0..<1).elementType == .int64)
    #expect(Tensor.arange(3..<3).shape == [0])
  }

  @Test("shape, rank, count, batch and device")
  func properties() {
    let x = Tensor.zeros([2, 3, 0])
    #expect(x.shape == [2, 3, 0] && x.rank == 3 && x.count == 0 && x.batch == 2 && x.device == .cpu)
    #expect(Tensor(scalar: 1).rank == 0 && Tensor(scalar: 1).count == 1)
    #expect(x.to(.cpu).shape == x.shape && x.device.description == "cpu")
    #expect(Device.cuda(1).description == "cuda:1" && Device.cuda() != Device.cuda(1))
    #expect(Device.count(of: .cpu) == 1 && Device.count(of: .cuda) >= 0)
    Device.cpu.synchronize()
    #expect(Engine.torchVersion.hasPrefix("2."))
  }

  @Test("a description says type, shape, device and, where there are few, the values as their type writes them")
  func description() {
    #expect("\(Tensor(rows: [[1, 2.5]]))" == "Tensor(float64 [1, 2] cpu) [1.0, 2.5]")
    #expect("\(Tensor([1.1, 2] as [Float], shape: [2]))" == "Tensor(float32 [2] cpu) [1.1, 2.0]")
    #expect("\(Tensor([1, .max]))" == "Tensor(int64 [2] cpu) [1, 9223372036854775807]")
    #expect("\(Tensor([-1]).to(.uint64))" == "Tensor(uint64 [1] cpu) [18446744073709551615]")
    #expect("\(Tensor([true], shape: []))" == "Tensor(bool [] cpu) [true]")
    #expect("\(Tensor.zeros([65]))" == "Tensor(float64 [65] cpu)")
    #expect("\(Tensor.zeros([64], type: .uint8))".hasSuffix("0]"))
    #expect("\(Tensor.zeros([1], type: .complex64))" == "Tensor(complex64 [1] cpu)")
    #expect("\(Tensor.zeros([0]))" == "Tensor(float64 [0] cpu) []")
    for type in Self.supported where type != .float4E2M1 {
      #expect("\(Tensor.zeros([1], type: type))".hasPrefix("Tensor(\(type.rawValue) [1] cpu)"))
    }
    _ = gradient(at: Tensor([1.0, 2])) { x in
      #expect("\(x)" == "Tensor(float64 [2] cpu) [1.0, 2.0]")
      return x.sum()
    }
    _ = vmap(over: Tensor([1.0, 2])) { x in
      #expect("\(x)" == "Tensor(float64 [] cpu)")
      return x
    }
  }

  @Test("types mix as in PyTorch, with float64 where integers become fractions")
  func promotion() {
    let (i, f, d) = (Tensor([1, 2]), Tensor([1, 2] as [Float], shape: [2]), Tensor([1.0, 2]))
    let bytes = i.to(.uint8), flags = i.to(.bool)
    func type(_ tensor: Tensor) -> ElementType { tensor.elementType }
    #expect(type(i + f) == .float32 && type(f + d) == .float64 && type(i + d) == .float64 && type(bytes + i) == .int64)
    #expect(type(f + Tensor(scalar: 2)) == .float32, "a scalar tensor does not widen a vector")
    #expect(type(flags + flags) == .bool && type(flags.sum()) == .int64 && type(i.to(.float16) * f) == .float32)
    #expect(type(i / i) == .float64 && type(i.sqrt()) == .float64 && type(i / 2) == .float64)
    #expect(type(f + 1) == .float32 && type(f * 0.5) == .float32 && type(0.1 - f) == .float32)
    #expect(type(i.to(.bfloat16) * 0.5) == .bfloat16)
    #expect(type(i .< i) == .bool && type(i.to(.float32)) == .float32)
  }

  @Test("a whole number leaves integers integers, exactly; a fraction makes them float64")
  func numbersBesideIntegers() {
    let large = Tensor([1 << 60])
    #expect((large + 1).integers == [(1 << 60) + 1] && (1 - large).integers == [1 - 1 << 60])
    #expect((large * 2).integers == [1 << 61] && (large - 1).elementType == .int64)
    #expect(Tensor([1, 2]).pow(2).elementType == .int64)
    let third = Tensor([1]) * 0.1
    #expect(third.elementType == .float64 && third.item == 0.1)
    #expect((Tensor([1 << 53 + 1]) .== 0x1p53).flags == [1 << 53 + 1 == 1 << 53])
    #expect((Tensor([16_777_217]) .> 16_777_216).flags == [true])
    #expect((Tensor([1, 2]) .< 1.5).flags == [true, false])
    #expect((Tensor([250]).to(.uint8) + 10).integers == [4], "bytes wrap")
    #expect((Tensor([true], shape: [1]) * 2).integers == [2])
  }

  @Test("operators in place make new values")
  func compound() {
    let x = Tensor([1.0, 2])
    var y = x
    y += x; y -= Tensor([0.5, 0.5]); y *= x; y /= Tensor([2.0, 2])
    #expect(y.doubles == [0.75, 3.5])
    y += 1; y *= 2; y -= 0.5; y /= 2
    #expect(y.doubles == [1.5, 4.25])
    #expect(x.doubles == [1, 2])
  }

  @Test("what the golden cases do not reach")
  func remainder() {
    let x = Tensor([0.25, 0.5, 2])
    func near(_ a: Tensor, _ b: [Double]) { expectClose(a, Tensor(b), within: 1e-15) }
    near(x.log2(), [-2, -1, 1])
    near(Tensor([0.1, 1000]).log10(), [-1, 3])
    near(x.tan(), [0.25534192122103627, 0.5463024898437905, -2.185039863261519])
    near(x.asin()[..<2], [0.25268025514207865, 0.5235987755982989])
    near(x.acos()[..<2], [1.318116071652818, 1.0471975511965979])
    near(x.atan(), [0.24497866312686414, 0.4636476090008061, 1.1071487177940904])
    near(x.sinh(), [0.2526123168081683, 0.5210953054937474, 3.626860407847019])
    near(x.cosh(), [1.0314130998795732, 1.1276259652063807, 3.7621956910836314])
    near(x.erf().erfinv(), [0.25, 0.5, 2])
    expectClose(x.quantile(0.25), Tensor(scalar: 0.375), within: 1e-15)
    #expect(x.quantile(0.5, 0, keeping: true).shape == [1])
    #expect(x.any() && x.all() && !Tensor([0.0]).any() && !Tensor([0.0, 1]).all())
    #expect(x.isIdentical(to: x) && !x.isIdentical(to: x + 1) && !x.isIdentical(to: x[..<2]))
    let odd = Tensor([0, .nan, .infinity, -.infinity])
    #expect(odd.isNaN().flags == [false, true, false, false])
    #expect(odd.isInfinite().flags == [false, false, true, true])
    #expect(odd.isFinite().flags == [true, false, false, false])
    let (p, q) = (Tensor([true, true, false], shape: [3]), Tensor([true, false, false], shape: [3]))
    #expect((p .& q).flags == [true, false, false] && (p .| q).flags == [true, true, false])
    #expect((.!p).flags == [false, false, true])
    #expect((x .<= 0.5).flags == [true, true, false] && (x .>= 0.5).flags == [false, true, true])
    #expect((x .> 0.5).flags == [false, false, true] && (x .== 0.5).flags == [false, true, false])
    #expect((x .!= 0.5).flags == [true, false, true])
    #expect((3 / Tensor([2.0, 4])).doubles == [1.5, 0.75] && (x / 2).doubles == [0.125, 0.25, 1])
    #expect(x.dot(Tensor([4.0, 2, 1])).item == 4)
    #expect(x.squeezed(0).shape == [3] && x.swapped(0, 0).shape == [3])
    #expect(Tensor.zeros([5]).flattened.shape == [5, 1] && Tensor.zeros([0, 2, 2]).flattened.shape == [0, 4])
    #expect(Tensor.zeros([5]).split(2).map(\.shape) == [[2], [2], [1]])
    #expect(Tensor.zeros([0]).split(2).map(\.shape) == [[0]])
  }

  @Test("solutions of vectors, matrices and batches")
  func solutions() {
    let a = Tensor(rows: [[2, 1], [1, 3]])
    expectClose(a.solve(Tensor([3.0, 5])), Tensor([0.8, 1.4]), within: 1e-15)
    expectClose(a.solve(Tensor(rows: [[3], [5]])), Tensor(rows: [[0.8], [1.4]]), within: 1e-15)
    let batch = Tensor.stacked([a, 2 * a, -a])
    expectClose(batch.solve(Tensor([3.0, 5])), Tensor(rows: [[0.8, 1.4], [0.4, 0.7], [-0.8, -1.4]]), within: 1e-15)
    let rows = Tensor(rows: [[3, 5], [0, 0], [-3, -5]])
    expectClose(batch.solve(rows), Tensor(rows: [[0.8, 1.4], [0, 0], [0.8, 1.4]]), within: 1e-15)
    expectClose(batch.determinant(), Tensor([5.0, 20, 5]), within: 1e-15)
    expectClose(Tensor(rows: [[0, 1], [1, 0]]).determinant(), Tensor(scalar: -1), within: 0)
    #expect(Tensor(rows: [[1, 2], [2, 4]]).determinant().item == 0)
    let (sign, size) = Tensor(rows: [[0, 2], [3, 0]]).logDeterminant()
    expectClose(sign, Tensor(scalar: -1), within: 0)
    expectClose(size, Tensor(scalar: 6).log(), within: 1e-15)
  }

  @Test("half precision is normalized in single precision")
  func halves() {
    // In bfloat16 itself the mean of 1000 and 1001 steps is lost.
    let x = Tensor([1000.0, 1008, 1016, 1024]).to(.bfloat16)
    let expected = Tensor([-1.3416, -0.4472, 0.4472, 1.3416])
    #expect(x.layerNormalized().elementType == .bfloat16)
    expectClose(x.layerNormalized(), expected, within: 4e-3)
    expectClose(x.rmsNormalized(), x.to(.float64).rmsNormalized(), within: 4e-3)
  }
}
