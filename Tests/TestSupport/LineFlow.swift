import Foundation
import Scorefield

/// The probability flow of a mixture of Gaussians on a line, by its quantiles: the flow keeps the order of points and the
/// mass below each, so `F_s(x_s) = F_t(x_t)`.
///
/// Nothing of it comes from the library but α and σ.
package struct LineFlow: Sendable {
  package let weights, means, deviations: [Double]
  package let schedule: any NoiseSchedule

  package init(weights: [Double], means: [Double], deviations: [Double], on schedule: any NoiseSchedule) {
    (self.weights, self.means, self.deviations, self.schedule) = (weights, means, deviations, schedule)
  }

  /// N(0.7, 1.3²).
  package static func gauss(on schedule: any NoiseSchedule) -> Self {
    Self(weights: [1], means: [0.7], deviations: [1.3], on: schedule)
  }
  /// The fixture with two components.
  package static func mixture(on schedule: any NoiseSchedule) -> Self {
    Self(weights: [0.3, 0.7], means: [-2, 1.5], deviations: [0.4, 0.6], on: schedule)
  }

  /// The exact field of the same distribution.
  package func denoiser() throws -> GaussianMixtureDenoiser {
    GaussianMixtureDenoiser(
      try GaussianMixture(
        weights: Tensor(weights), means: Tensor(means, shape: [means.count, 1]), standardDeviations: Tensor(deviations)),
      on: schedule)
  }

  /// `log q_t(x)`.
  package func logDensity(_ x: Double, at t: Double) -> Double {
    log(
      parts(at: t).reduce(0) { sum, part in
        let z = (x - part.mean) / part.deviation
        return sum + part.weight * exp(-z * z / 2) / (part.deviation * (2 * .pi).squareRoot())
      })
  }

  /// Where the flow takes points.
  package func carry(_ points: [Double], from t: Double, to s: Double) -> [Double] {
    let (here, there) = (parts(at: t), parts(at: s))
    return points.map { x in
      // From the nearer end, so that a small mass keeps its digits.
      let upper = mass(here, below: x) > 0.5
      let target = mass(here, below: x, upper: upper)
      var (low, high) = (-1e6, 1e6)
      for _ in 0..<120 {
        let middle = (low + high) / 2
        if (mass(there, below: middle, upper: upper) < target) != upper { low = middle } else { high = middle }
      }
      return (low + high) / 2
    }
  }

  private struct Part { let weight, mean, deviation: Double }

  private func parts(at t: Double) -> [Part] {
    let (a, s) = (schedule.alpha(t), schedule.sigma(t))
    return weights.indices.map {
      Part(weight: weights[$0], mean: a * means[$0], deviation: hypot(a * deviations[$0], s))
    }
  }

  /// `F(x)`, or `1 − F(x)`.
  private func mass(_ parts: [Part], below x: Double, upper: Bool = false) -> Double {
    parts.reduce(0) { sum, part in
      let z = (x - part.mean) / (part.deviation * 2.0.squareRoot())
      return sum + part.weight * 0.5 * erfc(upper ? z : -z)
    }
  }
}

/// The slope of `−log error` over `log n`, by least squares.
package func observedOrder(_ errors: some Collection<(steps: Int, error: Double)>) -> Double {
  let points = errors.map { (x: log(Double($0.steps)), y: -log($0.error)) }
  let count = Double(points.count)
  let (x, y) = (points.map(\.x).reduce(0, +) / count, points.map(\.y).reduce(0, +) / count)
  return points.reduce(0) { $0 + ($1.x - x) * ($1.y - y) } / points.reduce(0) { $0 + ($1.x - x) * ($1.x - x) }
}

/// The largest difference between a tensor and numbers.
package func largestError(_ actual: Tensor, _ expected: [Double]) -> Double {
  zip(actual.doubles, expected).map { abs($0 - $1) }.max() ?? 0
}
