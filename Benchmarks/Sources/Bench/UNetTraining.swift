import Foundation
import Scorefield

/// One training step of a U-Net without its optimiser: forward, mean squared error, gradients by every parameter.
func unetTraining(_ name: String, _ configuration: UNet.Configuration, size: Int, batch: Int, rounds: Int) -> Comparison
{
  let encoder = JSONEncoder()
  encoder.outputFormatting = .sortedKeys
  guard let json = try? encoder.encode(configuration) else {
    fatalError("unetTraining(\(configuration)): cannot be encoded")
  }
  let runs = 5
  return Comparison(
    title: "A training step of a U-Net, \(name), B = \(batch), one thread", rounds: rounds,
    peer: Peer(
      script: "unet.py",
      arguments: [
        "--name", name, "--size", "\(size)", "--batch", "\(batch)", "--runs", "\(runs)",
        "--configuration", String(decoding: json, as: UTF8.self),
      ])
  ) {
    var generator = Generator(seed: 0)
    let network = UNet(configuration, using: &generator)
    let shape = [batch, configuration.channels, size, size]
    let x = Tensor.normal(shape, type: .float32, using: &generator)
    let target = Tensor.normal(shape, type: .float32, using: &generator)
    let noise = Tensor.normal([batch], type: .float32, using: &generator)
    let parameters = network.parameters
    let time = seconds(runs: runs, run: 0) {
      _ = valueAndGradients(at: parameters) { parameters in
        (network.replacing(parameters: parameters)(x, noise: noise) - target).squared().mean()
      }
    }
    return [Figure(name: "unet.step.\(name)", value: time, unit: "s")]
  }
}

/// Digits on a laptop, and colour images with attention.
func unetTrainings() -> [Comparison] {
  let middle = UNet.Configuration(channels: 3, width: 64, multipliers: [1, 2, 2], blocks: 2, attention: [1], heads: 4)
  return [
    unetTraining("8x8", .grey8(), size: 8, batch: 128, rounds: 9),
    unetTraining("32x32", middle, size: 32, batch: 8, rounds: 5),
  ]
}
