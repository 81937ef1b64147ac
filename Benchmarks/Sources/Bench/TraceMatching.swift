import Scorefield

/// A model whose trace head shares the denoiser's network; random weights, whose values do not matter to the time.
private func model(dimension: Int, width: Int, depth: Int) -> TraceMatchedDenoiser {
  var generator = Generator(seed: 0)
  let network = MLP(.init(dimension: dimension, width: width, depth: depth), using: &generator)
  return TraceMatchedDenoiser(
    TwoHeaded(network, using: &generator), .edm(sigmaData: 0.5), form: PosteriorVarianceForm(sigmaData: 0.5), on: .edm)
}

/// What a likelihood with a matched trace costs against drawing the sample, with the same number of steps.
func likelihoodAgainstSampling(dimension: Int, width: Int, batch: Int) -> Comparison {
  Comparison(
    title:
      "A likelihood in 10 Euler steps against a sample in 10, MLP 3×\(width), d = \(dimension), B = \(batch), one thread",
    rounds: 5, peer: Peer(script: nil, arguments: [])
  ) {
    let shared = model(dimension: dimension, width: width, depth: 3)
    let separate = TraceMatching(
      of: shared.denoiser, network: shared.network, shared.preconditioning, form: shared.form)
    var generator = Generator(seed: 1)
    let x = Tensor.normal([batch, dimension], type: .float32, using: &generator)
    let solver = LikelihoodSolver.rungeKutta(.euler, steps: 10)
    let name = "\(dimension).\(batch)"
    // In turn, many times: a ratio holds while the machine's speed drifts.
    let rounds = (0..<9).map { _ in
      (
        sample: seconds(runs: 1, run: 0.1) {
          _ = decode(x, under: shared.denoiser, from: 80, to: 0.002, solver: solver)
        },
        shared: seconds(runs: 1, run: 0.1) {
          _ = logLikelihood(of: x, under: shared, from: 0.002, to: 80, solver: solver)
        },
        separate: seconds(runs: 1, run: 0.1) {
          _ = logLikelihood(of: x, under: separate, from: 0.002, to: 80, solver: solver)
        }
      )
    }
    return [
      Figure(name: "sample.\(name)", value: rounds.map(\.sample).median, unit: "s"),
      Figure(name: "nll/sample.shared.\(name)", value: rounds.map { $0.shared / $0.sample }.median, unit: "ratio"),
      Figure(
        name: "nll/sample.two-networks.\(name)", value: rounds.map { $0.separate / $0.sample }.median, unit: "ratio"),
    ]
  }
}

/// One evaluation of a likelihood's right-hand side with a matched trace, against torchdiffeq's with one Hutchinson probe; both
/// on an MLP of 4×128 in the plane.
func matchedLikelihood(batch: Int) -> Comparison {
  Comparison(
    title: "Likelihood with a matched trace against torchdiffeq with one Hutchinson probe, B = \(batch), one thread",
    rounds: 5, peer: Peer(script: "likelihood.py", arguments: ["--batch", "\(batch)", "--runs", "3"])
  ) {
    let model = model(dimension: 2, width: 128, depth: 4)
    var generator = Generator(seed: 1)
    let x = Tensor.normal([batch, 2], type: .float32, using: &generator)
    var evaluations = 1
    let time = seconds(runs: 3) {
      evaluations = logLikelihood(of: x, under: model, from: 0.002, to: 80, solver: .dopri5()).evaluations
    }
    return [Figure(name: "likelihood.float32.\(batch)", value: time / Double(evaluations), unit: "s")]
  }
}

/// The trace at one point: all basis vectors, ours and PyTorch's, against one call of the head.
func traces(dimension: Int) -> Comparison {
  Comparison(
    title: "The trace at one point, MLP 3×1024, d = \(dimension), one thread", rounds: 3,
    peer: Peer(script: "trace.py", arguments: ["--dimensions", "\(dimension)"])
  ) {
    let model = model(dimension: dimension, width: 1024, depth: 3)
    var generator = Generator(seed: 1)
    let x = Tensor.normal([1, dimension], type: .float32, using: &generator)
    let full = seconds(runs: 3) { _ = FullTrace(VJPFisher(model)).fisher(at: x, time: 1).trace() }
    let matched = seconds(runs: 3) { _ = model.fisher(at: x, time: 1).trace() }
    return [
      Figure(name: "trace.full-vjp.\(dimension)", value: full, unit: "s"),
      Figure(name: "trace.matched.\(dimension)", value: matched, unit: "s"),
      Figure(name: "full-vjp/matched.\(dimension)", value: full / matched, unit: "ratio"),
    ]
  }
}
