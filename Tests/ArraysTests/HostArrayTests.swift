import ScorefieldArrays
import Testing

@Suite struct HostArrayTests {
  @Test("an array of doubles keeps its values and its shape")
  func values() {
    let array = HostArray([1, 2, 3, 4, 5, 6], shape: [2, 3])
    #expect(array.shape == [2, 3] && array.count == 6 && array.byteCount == 48)
    #expect(array.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) } == [1, 2, 3, 4, 5, 6])
  }
}
