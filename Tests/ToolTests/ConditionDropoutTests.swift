import Scorefield
import Testing

@testable import ScorefieldTool

/// What one model learns that is told the condition, and now and then not: classifier-free guidance's training.
@Suite struct ConditionDropoutTests {
  @Test(
    "(Spec: C8.3.3) conditions are hidden at the rate that was asked for, each step anew, the same for the same seed"
  )
  func rate() throws {
    let count = 100_000
    let labels = Labels.classes((0..<count).map { $0 % 3 })
    func hidden(_ dropout: Double, step: Int, seed: UInt64 = 7) throws -> [Bool] {
      let data = TrainingData(
        TensorData(.zeros([count, 1], type: .float32)), labels: labels, dropout: dropout, seed: seed)
      let rows = try data.batch(Array(0..<count), step: step).condition!
      let sums = rows.sum(1).doubles
      #expect(sums.allSatisfy { $0 == 0 || $0 == 1 })
      return sums.map { $0 == 0 }
    }
    for rate in [0.1, 0.35] {
      let share = Double(try hidden(rate, step: 0).count { $0 }) / Double(count)
      #expect(abs(share - rate) < 3 * (rate * (1 - rate) / Double(count)).squareRoot(), "\(share)")
    }
    #expect(try hidden(0, step: 0).allSatisfy { !$0 })
    #expect(try hidden(0.1, step: 1) == hidden(0.1, step: 1))
    #expect(try hidden(0.1, step: 1) != hidden(0.1, step: 2) && hidden(0.1, step: 1) != hidden(0.1, step: 1, seed: 8))
  }

  @Test(
    "(Spec: C8.3.2) the best predictor linear in what is shown is the conditional one where it is shown, and else the other"
  )
  func oracle() throws {
    let (count, tau, t) = (1_000_000, 0.7, 0.4)
    let kernel = VariancePreserving().kernel(at: t)
    var generator = Generator(seed: 3)
    let data = Tensor.normal([count, 1], type: .float32, using: &generator)
    let conditions = data + tau * Tensor.normal([count, 1], type: .float32, using: &generator)
    let training = TrainingData(TensorData(data), labels: .vectors(conditions), dropout: 0.1, seed: 3)
    let batch = try training.batch(Array(0..<count), step: 0)
    let sample = DenoisingObjective(times: UniformTimes(t...(t + 1e-12))).sample(
      of: batch, on: VariancePreserving(), using: &generator)

    // The least squares of ε on what a network is given, x and c, where c is shown and where it is not.
    let (x, c) = (sample.point.to(.float64), batch.condition!.to(.float64))
    let isShown = (c .!= 0).to(.float64)
    let features = Tensor.concatenated([x * isShown, c, isShown, x * (1 - isShown), 1 - isShown], 1)
    let found = features.transposed.matmul(features)
      .solve(features.transposed.matmul(sample.noise.to(.float64))).squeezed(1).doubles

    // ε̂ = σ (x − α μ_c)/(α² v_c + σ²) with μ_c = c/(1 + τ²), v_c = τ²/(1 + τ²); else σ x/(α² + σ²).
    let (alpha, sigma) = (kernel.alpha, kernel.sigma)
    let variance = tau * tau / (1 + tau * tau)
    let shown = sigma / (alpha * alpha * variance + sigma * sigma)
    #expect(abs(found[0] / shown - 1) < 0.02, "\(found)")
    #expect(abs(found[1] / (-shown * alpha / (1 + tau * tau)) - 1) < 0.02, "\(found)")
    #expect(abs(found[3] / (sigma / (alpha * alpha + sigma * sigma)) - 1) < 0.02, "\(found)")
    #expect(abs(found[2]) < 0.01 && abs(found[4]) < 0.02, "\(found)")
  }
}
