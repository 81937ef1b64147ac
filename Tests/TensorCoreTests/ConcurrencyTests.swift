import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct ConcurrencyTests {
  @Test("two threads take 2,000 derivatives each at once, all of them exact")
  func derivatives() {
    let wrong = concurrently(2) { thread in
      (0..<2000).count { round in
        let x = Tensor([Double(thread + 1), Double(round % 17), 3])
        let v = Tensor([1, -2, Double(round % 5)])
        func f(_ x: Tensor) -> Tensor { (x * x * x).sum() }
        let forward = jvp(at: x, along: v, of: f).derivative
        let slope = gradient(at: x, of: f)
        let product = jvp(at: x, along: v) { gradient(at: $0, of: f) }.derivative
        return
          !(forward.isIdentical(to: (3 * x * x * v).sum()) && slope.isIdentical(to: 3 * x * x)
          && product.isIdentical(to: 6 * x * v))
      }
    }
    #expect(wrong == [0, 0])
  }

  @Test("what one thread leaves unrecorded, another records")
  func recording() {
    let wrong = concurrently(2) { thread in
      (0..<500).count { _ in
        let x = Tensor([2.0])
        let slope = gradient(at: x) { y in (thread == 0 ? withoutGradient { y * y } : y * y).sum() + y.sum() }
        return slope.item != (thread == 0 ? 1 : 5)
      }
    }
    #expect(wrong == [0, 0])
  }

  @Test("the number of threads is the same for all threads, and stays what it is set to")
  func threads() {
    withThreads(2) {
      #expect(Threads.count == 2)
      let ready = DispatchSemaphore(value: 0)
      let go = DispatchSemaphore(value: 0)
      // A thread that has computed before hears of the change too.
      let heard = concurrently(2) { index in
        guard index == 1 else {
          ready.wait()
          Threads.count = 1
          go.signal()
          return [Threads.count]
        }
        let before = Threads.count
        _ = Tensor.ones([1000]) + 1
        ready.signal()
        go.wait()
        return [before, Threads.count]
      }
      #expect(heard == [[1], [2, 1]])
      #expect(Threads.count == 1)
    }
  }

  @Test("the count of threads is followed by what computes")
  func followed() {
    // Between counts a full sum may differ in the last bits; with one count it never does.
    let x = SplitMix(seed: 1).unit([1 << 20])
    let once = withThreads(1) { x.sum() }
    let results = withThreads(1) { concurrently(2) { _ in (0..<20).map { _ in x.sum() } } }
    for result in results.joined() { #expect(result.isIdentical(to: once)) }
  }
}
