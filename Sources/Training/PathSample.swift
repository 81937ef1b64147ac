import ScorefieldArrays
import ScorefieldFields
import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// Noised data, each at a time of its own: `x_t = α x₀ + σ ε`.
public struct PathSample: Sendable {
  /// Shape `[B, …]` each.
  public let data, noise, point: Tensor
  public let kernels: KernelBatch

  public init(data: Tensor, noise: Tensor, kernels: KernelBatch) {
    (self.data, self.noise, self.kernels) = (data, noise, kernels)
    point = kernels.column(like: data) { $0.alpha } * data + kernels.column(like: data) { $0.sigma } * noise
  }

  /// The same draw, seen at other points: what is asked there is asked at the same times.
  init(point: Tensor, of other: PathSample) {
    (data, noise, kernels) = (other.data, other.noise, other.kernels)
    self.point = point
  }

  /// Data with fresh noise at given times.
  public init(_ data: Tensor, at times: [Double], on schedule: any NoiseSchedule, using generator: inout Generator) {
    // Where the generator is that drew the times: on the host.
    let noise = Tensor.normal(data.shape, type: data.elementType, using: &generator).to(data.device)
    self.init(data: data, noise: noise, kernels: KernelBatch(schedule, at: times))
  }

  /// What a network of an element type is given for the points.
  func question(_ preconditioning: Preconditioning, type: ElementType) -> (x: Tensor, noise: Tensor) {
    (
      (kernels.column(like: point) { preconditioning.input(at: $0) } * point).to(type),
      kernels.row(like: point) { preconditioning.noise(at: $0) }.to(Preconditioning.noiseType(beside: type))
    )
  }

  /// What a head is to predict, `(A x₀ + B ε)/s`, of any data and noise.
  func target(_ head: Head, data: Tensor, noise: Tensor) -> Tensor {
    let targets = kernels.kernels.map(head.target)
    let shape = [targets.count] + Array(repeating: 1, count: data.rank - 1)
    func column(_ values: [Double]) -> Tensor { Tensor(values, shape: shape).to(data.elementType).to(data.device) }
    return column(targets.map { $0.data / $0.scale }) * data + column(targets.map { $0.noise / $0.scale }) * noise
  }

  /// Another prediction at the points, from the network's output.
  func conversion(_ output: Tensor, from head: Head, to other: Head) -> Tensor {
    let conversions = kernels.kernels.map { kernel in
      guard let conversion = head.conversion(to: other, at: kernel) else {
        fatalError(
          "conversion(at: \(kernel.time)): the head is not defined at α = \(kernel.alpha), σ = \(kernel.sigma)")
      }
      return conversion
    }
    let shape = [conversions.count] + Array(repeating: 1, count: output.rank - 1)
    func column(_ values: [Double]) -> Tensor { Tensor(values, shape: shape).to(output.elementType).to(output.device) }
    return column(conversions.map(\.point)) * point + column(conversions.map(\.output)) * output
  }

  /// `ε̂` of a denoiser at the points, each at its own time.
  func predictedNoise(of denoiser: NetworkDenoiser, condition: Tensor?) -> Tensor {
    let type = denoiser.network.elementType
    let question = question(denoiser.preconditioning, type: type)
    let output = denoiser.network(question.x, noise: question.noise, condition: condition?.to(type))
    return conversion(output.to(point.elementType), from: denoiser.preconditioning.head, to: .noise)
  }
}
