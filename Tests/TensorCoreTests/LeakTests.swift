import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct LeakTests {
  // In a process of its own: other tests allocate too.
  @Test("100,000 operations and 10,000 of each derivative leave memory as it was, also where errors are thrown")
  func memory() async {
    await #expect(processExitsWith: .success) {
      struct Stop: Error {}
      let x = Tensor.ones([1000])
      let positions = Tensor([3, 1])
      func operations(_ count: Int) {
        var generator = Generator(seed: 1)
        for index in 0..<count / 10 {
          let y = (x + 1) * x
          let copy = generator
          _ = y.sum() + Tensor.normal([10], using: &generator).sum()
          _ = y[(index % 7)..., Axis.new]
          _ = y[positions].doubles
          _ = Tensor.concatenated([y, x]).split(1000)
          _ = Tensor(y.hostArray)
          _ = "\(copy.saved.shape) \(y.sorted().positions.device)"
        }
      }
      func f(_ x: Tensor) -> Tensor { (x * x.exp()).sum() }
      func derivatives(_ count: Int) {
        for _ in 0..<count {
          _ = gradient(at: x, of: f)
          _ = jvp(at: x, along: x, of: f)
          _ = vjp(at: x) { $0 * $0 }.pullback(x)
          _ = try? gradient(at: x) { y throws(Stop) in
            _ = f(y)
            throw Stop()
          }
          _ = try? jvp(at: x, along: x) { y throws(Stop) in
            _ = f(y)
            throw Stop()
          }
          _ = try? vmap(over: x) { y throws(Stop) in
            _ = y * y
            throw Stop()
          }
        }
      }
      /// Resident memory in MB.
      func resident() -> Double {
        Double(systemLines("/proc/self/statm")[0].split(separator: " ")[1])! * Double(sysconf(Int32(_SC_PAGESIZE)))
          / 1e6
      }
      Threads.count = 1
      operations(10_000)
      derivatives(1000)
      let before = resident()
      operations(100_000)
      derivatives(10_000)
      let growth = resident() - before
      guard abs(growth) < 8 else { fatalError("memory grew by \(growth) MB") }
    }
  }
}
