import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct WeightAverageTests {
  /// Parameters that change from step to step, of two shapes.
  static func parameters(_ step: Int) -> [Tensor] {
    [SplitMix(seed: step).unit([3]), SplitMix(seed: 1000 + step).unit([2, 2])]
  }

  @Test("a constant decay weighs the past geometrically")
  func constant() {
    let start = Self.parameters(0)
    var average = ExponentialMovingAverage(of: start, decay: 0.9)
    for step in 1...20 { average.update(with: Self.parameters(step), step: step) }
    for index in 0..<2 {
      let expected = (1...20).reduce(pow(0.9, 20) * start[index]) { sum, step in
        sum + 0.1 * pow(0.9, Double(20 - step)) * Self.parameters(step)[index]
      }
      expectClose(average.average[index], expected, within: 1e-14)
    }
  }

  @Test("with warm-up the decay is (1 + n)/(10 + n) until it reaches its own")
  func warmup() {
    let average = ExponentialMovingAverage(of: [], decay: 0.9, warmsUp: true)
    #expect(average.decay(at: 1) == 2.0 / 11)
    #expect(average.decay(at: 5) == 6.0 / 15)
    #expect(average.decay(at: 79) < 0.9 && average.decay(at: 80) == 0.9 && average.decay(at: 1000) == 0.9)
    #expect(ExponentialMovingAverage(of: [], decay: 0.9).decay(at: 1) == 0.9)
  }

  @Test("a copy of an average, and the parameters it began with, stay what they were")
  func copies() {
    let start = [Tensor([1.0, 2])]
    var average = ExponentialMovingAverage(of: start, decay: 0.5)
    average.update(with: [Tensor([3.0, 4])], step: 1)
    let kept = average
    let tensors = average.average
    average.update(with: [Tensor([3.0, 4])], step: 2)
    #expect(start[0].doubles == [1, 2] && kept.average[0].doubles == [2, 3] && tensors[0].doubles == [2, 3])
    #expect(average.average[0].doubles == [2.5, 3.5])
  }

  @Test("an average goes on from the tensors that were saved")
  func restoring() {
    var average = PowerLawEMA(of: Self.parameters(0), relativeWidth: 0.1)
    var restored = average
    for step in 1...10 {
      if step == 6 {
        restored = PowerLawEMA(of: Self.parameters(0), relativeWidth: 0.1)
        restored.average = average.average.map { Tensor($0.hostArray) }
      }
      average.update(with: Self.parameters(step), step: step)
      restored.update(with: Self.parameters(step), step: step)
    }
    AdamWTests.expectIdentical(restored.average, average.average)
  }

  // MARK: Power law

  /// `∫ f` over [0, 1] by the midpoint rule.
  func integral(_ f: (Double) -> Double) -> Double {
    let n = 200_000
    return (0..<n).reduce(0) { $0 + f((Double($1) + 0.5) / Double(n)) } / Double(n)
  }

  @Test("σ_rel is the standard deviation of the profile, and the exponent is its inverse")
  func width() {
    for exponent in [0, 0.5, 1, 6.94, 16.97, 30] {
      func p(_ t: Double) -> Double { (exponent + 1) * pow(t, exponent) }
      let mean = integral { p($0) * $0 }
      let variance = integral { p($0) * ($0 - mean) * ($0 - mean) }
      let width = PowerLawEMA.relativeWidth(exponent: exponent)
      #expect(abs(width - variance.squareRoot()) < 1e-8, "\(exponent)")
      #expect(abs(PowerLawEMA.exponent(relativeWidth: width) - exponent) < 1e-11 * (1 + exponent), "\(exponent)")
    }
    // Karras et al. 2024, section 3.1: σ_rel of 0.05 and 0.10 are γ ≈ 16.97 and 6.94.
    #expect(abs(PowerLawEMA.exponent(relativeWidth: 0.05) - 16.97) < 0.005)
    #expect(abs(PowerLawEMA.exponent(relativeWidth: 0.1) - 6.94) < 0.005)
    #expect(PowerLawEMA.exponent(relativeWidth: 1 / 12.0.squareRoot()) < 1e-12)
    #expect(abs(PowerLawEMA.exponent(relativeWidth: 1e-4) * 1e-4 - 1) < 1e-3)
  }

  @Test("the decays average a power of time as the integral of the profile does")
  func profile() {
    // ∫ p(τ) (τ/t)ᵏ dτ = (γ + 1)/(γ + 1 + k)
    for width in [0.05, 0.1, 0.25] {
      let gamma = PowerLawEMA.exponent(relativeWidth: width)
      for k in [1.0, 2] {
        var average = PowerLawEMA(of: [Tensor(scalar: .nan)], relativeWidth: width)
        average.average = [Tensor(scalar: 7)]
        let steps = 2000
        for step in 1...steps {
          average.update(with: [Tensor(scalar: pow(Double(step) / Double(steps), k))], step: step)
        }
        #expect(abs(average.average[0].item - (gamma + 1) / (gamma + 1 + k)) < 2e-3, "\(width), \(k)")
      }
    }
  }

  @Test("the first step forgets what was before, and equal weights are the mean")
  func first() {
    var average = PowerLawEMA(of: [Tensor(scalar: 7)], relativeWidth: PowerLawEMA.relativeWidthOfUniform)
    for step in 1...10 { average.update(with: [Tensor(scalar: Double(step))], step: step) }
    #expect(abs(average.average[0].item - 5.5) < 1e-12)
  }

  @Test("products of profiles are their integrals")
  func products() {
    // Against 1 at the end of training, by the way of a synthesis from one snapshot: b/A.
    for (width, step, exponent, end) in [(0.1, 100, 16.97, 100), (0.05, 200, 6.94, 150), (0.2, 120, 3.0, 200)] {
      let gamma = PowerLawEMA.exponent(relativeWidth: width)
      let last = Double(max(step, end))
      func p(_ t: Double, _ gamma: Double, _ end: Int) -> Double {
        let end = Double(end)
        return t <= end ? (gamma + 1) * pow(t / end, gamma) / end : 0
      }
      let overlap = integral { p($0 * last, exponent, end) * p($0 * last, gamma, step) }
      let square = integral { pow(p($0 * last, exponent, end), 2) }
      let snapshot = PowerLawEMA.Snapshot(step: end, exponent: exponent, average: [Tensor(scalar: 1)])
      let found = PowerLawEMA.synthesize(relativeWidth: width, at: step, from: [snapshot])[0].item
      #expect(abs(found / (overlap / square) - 1) < 1e-4, "\(found)")
    }
  }

  @Test("a width that was tracked comes back exactly, another one from snapshots of two to a per cent")
  func synthesis() {
    let (steps, widths) = (4000, [0.05, 0.1])
    var tracked = (widths + [0.075]).map { PowerLawEMA(of: [Tensor(scalar: 0), Tensor([0.0, 0])], relativeWidth: $0) }
    var snapshots: [PowerLawEMA.Snapshot] = []
    for step in 1...steps {
      let t = Double(step) / Double(steps)
      let now = [Tensor(scalar: sin(5 * t)), Tensor([t * t, 1 / (0.1 + t)])]
      for index in tracked.indices {
        tracked[index].update(with: now, step: step)
        if index < 2, step % 500 == 0 {
          snapshots.append(.init(step: step, exponent: tracked[index].exponent, average: tracked[index].average))
        }
      }
    }
    for (width, average) in zip(widths + [0.075], tracked) {
      let found = PowerLawEMA.synthesize(relativeWidth: width, at: steps, from: snapshots)
      for (a, b) in zip(found, average.average) { expectClose(a, b, within: width == 0.075 ? 1e-2 : 1e-10) }
    }
  }
}
