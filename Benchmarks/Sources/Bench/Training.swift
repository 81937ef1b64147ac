import Scorefield

/// The rates of training steps: the MLP, and what else has a peer in training.py.
func training() -> [Comparison] {
  var generator = Generator(seed: 0)
  let mlp = MLP(.init(dimension: 2, width: 128, depth: 4), using: &generator)
  return [training("mlp", mlp, points: [2], batches: [128, 1024])]
}

/// How many training steps a second: forward, mean squared error, backward, AdamW; against PyTorch's eager mode.
///
/// - Parameters:
///   - name: What training.py calls the same network.
///   - network: The network, `float32`.
///   - shape: The shape of a point.
///   - batches: How many points a step sees.
/// - Returns: One figure for each batch.
private func training(_ name: String, _ network: some Network, points shape: [Int], batches: [Int]) -> Comparison {
  Comparison(
    title: "Training steps of a network, one thread (Swift/Python: more is better)", rounds: 7,
    peer: Peer(script: "training.py", arguments: ["--network", name, "--batch"] + batches.map(String.init))
  ) {
    batches.map { batch in
      var generator = Generator(seed: 1)
      let x = Tensor.normal([batch] + shape, type: .float32, using: &generator)
      let noise = Tensor.normal([batch], type: .float32, using: &generator)
      let target = Tensor.normal([batch] + shape, type: .float32, using: &generator)
      var parameters = network.parameters
      var optimizer = AdamW(for: parameters, weightDecay: 0.01)
      let time = seconds {
        let (_, gradients) = valueAndGradients(at: parameters) {
          (network.replacing(parameters: $0)(x, noise: noise) - target).squared().mean()
        }
        optimizer.step(&parameters, gradients: gradients, learningRate: 1e-3)
      }
      return Figure(name: "training.\(name).\(batch)", value: 1 / time, unit: "step/s")
    }
  }
}
