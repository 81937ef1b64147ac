import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct CostTests {
  @Test("the cost is the squared distance, however far the clouds are from zero") func cost() {
    let (x, y) = (Tensor(rows: [[0, 0], [1, 2]]), Tensor(rows: [[3, 4], [0, 1], [1, 2]]))
    let expected = Tensor(rows: [[25, 1, 5], [8, 2, 0]])
    expectClose(squaredCost(x, y), expected, within: 1e-15)
    expectClose(squaredCost(x + 1e9, y + 1e9), expected, within: 1e-15)
  }
}
