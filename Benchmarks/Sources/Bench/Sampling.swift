import Scorefield

/// What twenty steps of a solver cost where the network is small: its own overhead, one thread.
func sampling(batch: Int) -> Comparison {
  Comparison(
    title: "Twenty steps with an MLP of 4 × 128, B = \(batch), float32, one thread", rounds: 3,
    peer: Peer(script: "sampling.py", arguments: ["--batch", "\(batch)"])
  ) {
    var generator = Generator(seed: 0)
    let network = MLP(.init(dimension: 2), using: &generator)
    let model = NetworkDenoiser(network, .edm(sigmaData: 0.5), on: .edm)
    let grid = TimeGrid.karras(20, over: .edm, from: 80, to: 0.002)
    let start = 80 * Tensor.normal([batch, 2], type: .float32, using: &generator)
    func microseconds<S: Solver>(_ name: String, _ solver: S) -> Figure where S.Field == any Denoiser {
      Figure(
        name: "\(name).\(batch)",
        value: seconds(runs: 7) { _ = integrate(start, along: grid, with: solver, in: model) } * 1e6, unit: "µs")
    }
    return [
      microseconds("ddim", .ddim), microseconds("dpm-solver++-2m", .dpmSolverPlusPlus2M),
      microseconds("deis-3", .deis(3)), microseconds("unipc-3", .uniPC(3)),
    ]
  }
}
