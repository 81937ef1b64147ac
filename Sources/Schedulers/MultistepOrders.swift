/// The orders of multistep runs, which begin and may end low.
struct MultistepOrders: Sendable {
  let order: Int
  let isLowAtEnd: Bool
  /// Whether the last step is of first order however many there are.
  let endsWithEuler: Bool

  /// The order of each step.
  func callAsFunction(_ steps: Int) -> [Int] {
    (0..<steps).map { step in
      let left = steps - step
      let limit = isLowAtEnd && steps < 15 ? left : (endsWithEuler && left == 1 ? 1 : order)
      return Swift.min(order, step + 1, limit)
    }
  }
}
