import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct KernelBatchTests {
  @Test("a quantity of each kernel multiplies points of any shape, in their type")
  func columns() {
    let batch = KernelBatch(.flowMatching, at: [0.1, 0.5, 0.9])
    let x = Tensor.ones([3, 2, 2], type: .float32)
    let column = batch.column(like: x) { $0.alpha }
    #expect(column.shape == [3, 1, 1] && column.elementType == .float32)
    expectClose((column * x)[1], .full([2, 2], 0.5), within: 1e-7)
    expectClose(batch.row(like: .zeros([3])) { $0.sigma }, Tensor([0.1, 0.5, 0.9]), within: 1e-15)
  }

  @Test("means are over the kernels of about the same noise-to-signal ratio, in parts even in its logarithm")
  func means() {
    let values = Tensor([1.0, 2, 3, 4, 5, 60])
    // Two parts, which meet at √(1 · 100) = 10.
    let batch = KernelBatch(.edm, at: [1, 2, 9.9, 10.1, 50, 100])
    expectClose(batch.binnedMeans(of: values, bins: 2), Tensor([2, 2, 2, 23, 23, 23]), within: 1e-14)
    expectClose(batch.binnedMeans(of: values, bins: 1), .full([6], 12.5), within: 1e-14)
    // As many as 32 where not said: all alone but those at 9.9 and 10.1, with 10 between them.
    expectClose(batch.binnedMeans(of: values), values, within: 1e-14)
    let same = KernelBatch(.edm, at: [3, 3, 3, 3, 3, 3])
    expectClose(same.binnedMeans(of: values), .full([6], 12.5), within: 1e-14)
  }
}
