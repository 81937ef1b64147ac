import ScorefieldPaths

/// The forward transition between two levels, `x_t | x_s ~ N(α_{t|s} x_s, σ²_{t|s} I)`, `s` the one nearer the data.
struct Transition {
  /// `α_{t|s} = α_t/α_s`.
  let alpha: Double
  /// `σ²_{t|s} = σ_t² − α²_{t|s} σ_s²`.
  let variance: Double
  /// `σ_{t|s}`.
  var sigma: Double { variance.squareRoot() }

  init(from near: PerturbationKernel, to far: PerturbationKernel) {
    alpha = far.alpha / near.alpha
    // A product of differences: squares would cancel where the levels are close.
    let kept = alpha * near.sigma
    variance = (far.sigma - kept) * (far.sigma + kept)
    guard variance >= 0 else {
      fatalError("step(from: \(far.time), to: \(near.time)): there is more noise at the end than at the start")
    }
  }
}

extension PerturbationKernel {
  /// The deviation of what is known of `x_s` from `x_t` and the data, `σ_{t|s} σ_s/σ_t`; 0 where `σ_s` is.
  func posteriorDeviation(to near: PerturbationKernel) -> Double {
    near.sigma == 0 ? 0 : Transition(from: near, to: self).sigma * (near.sigma / sigma)
  }
}
