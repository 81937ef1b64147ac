import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// PNDM as diffusers has it: the method's transfer of the noise, behind Runge–Kutta steps or a first step that is taken twice.
///
///     x_s = (α_s/α_t) x + (σ_s − σ_t α_s/α_t) ε
///
/// The prediction itself is what is combined; where it is v, it becomes noise at the transfer.
///
/// Source: Liu et al. 2022, arXiv:2202.09778, eq. 9 to 12 for the method.
struct PNDMScheduler: DiffusersScheduler {
  static let className = "PNDMScheduler"
  let table: NoiseTable
  let spacing: TimestepSpacing.Choice
  let prediction: Prediction
  let skipsRungeKutta: Bool
  let endsClean: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    table = try NoiseTable(&file)
    spacing = try TimestepSpacing.Choice(&file, .leading)
    prediction = try Prediction(&file, among: [.epsilon, .v])
    skipsRungeKutta = try file.flag("skip_prk_steps", false)
    endsClean = try file.flag("set_alpha_to_one", false)
  }

  var head: Head { prediction.head }
  var clock: ModelClock { .index(table) }
  var steps: ClosedRange<Int> { skipsRungeKutta ? 2...table.count : 4...table.count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let all = spacing.all(steps, of: table.count, whole: true).map { Int($0) }
    let ratio = table.count / steps
    let end = endsClean ? 1 : table.kept[0]
    // What the model is told, and from where to where the state is carried.
    var calls: [(timestep: Int, from: Int, to: Int)] = []
    let linear: [Int]
    if skipsRungeKutta {
      linear = [all[0], all[1], all[1]] + all.dropFirst(2)
    } else {
      let half = ratio / 2
      for (a, b) in zip(all, all.dropFirst()).prefix(3) {
        // Half of the way twice and the whole of it twice, from the same state.
        calls += [(a, a, a - half), (b + half, a, b + half), (b + half, a, b + half - half), (b, a, b)]
      }
      linear = Array(all.dropFirst(3))
    }
    for (index, timestep) in linear.enumerated() {
      let isSecond = skipsRungeKutta && index == 1
      calls.append(isSecond ? (timestep, timestep + ratio, timestep) : (timestep, timestep, timestep - ratio))
    }
    let transfers = calls.map { (table.kernel($0.from), table.kernel($0.to, end: end)) }
    let nodes = calls.map { SchedulerNode(Double($0.timestep), table.kernel($0.timestep)) } + [.end(transfers.last!.1)]
    let rungeKutta = calls.count - linear.count
    return SamplingPlan(along: nodes) { _ in Steps(transfers: transfers, rungeKutta: rungeKutta) }
  }

  private struct Steps: Solver {
    let transfers: [(from: PerturbationKernel, to: PerturbationKernel)]
    /// The calls of Runge–Kutta steps, four each.
    let rungeKutta: Int

    struct Memory: Sendable {
      var outputs: [Tensor] = []
      var sum: Tensor?
      var base: Tensor?
    }

    func makeMemory() -> Memory { Memory() }

    func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout Memory) -> Tensor {
      let call = Int(t)
      let output = field.output(x, at: t)
      field.record.keep(field.converted(output, to: .data, x, field.way[t].kernel))
      let (base, combined) =
        call < rungeKutta
        ? rungeKuttaStage(call, x, output, &memory) : multistep(call - rungeKutta, x, output, &memory)
      let (now, next) = transfers[call]
      let noise = field.converted(combined, to: .noise, base, now)
      let ratio = next.alpha / now.alpha
      return ratio * base + (next.sigma - now.sigma * ratio) * noise
    }

    private func rungeKuttaStage(
      _ call: Int, _ x: Tensor, _ output: Tensor, _ memory: inout Memory
    ) -> (base: Tensor, combined: Tensor) {
      let weight = [1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6][call % 4]
      if call % 4 == 0 {
        memory.base = x
        memory.sum = nil
        memory.outputs.append(output)
      }
      let sum = memory.sum.map { $0 + weight * output } ?? weight * output
      memory.sum = sum
      return (memory.base ?? x, call % 4 == 3 ? sum : output)
    }

    private func multistep(
      _ call: Int, _ x: Tensor, _ output: Tensor, _ memory: inout Memory
    ) -> (base: Tensor, combined: Tensor) {
      if rungeKutta == 0, call == 1, let base = memory.base, let first = memory.outputs.last {
        // The first step again, by the mean of its two ends.
        return (base, 0.5 * (output + first))
      }
      if call == 0 { memory.base = x }
      memory.outputs = memory.outputs.suffix(3) + [output]
      // Adams and Bashforth's weights, the newest first.
      let weights: [[Double]] = [
        [1], [1.5, -0.5], [23.0 / 12, -16.0 / 12, 5.0 / 12], [55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24],
      ]
      let row = weights[memory.outputs.count - 1]
      let terms = zip(row, memory.outputs.reversed()).map { $0 * $1 }
      return (x, terms.dropFirst().reduce(terms[0], +))
    }
  }
}
