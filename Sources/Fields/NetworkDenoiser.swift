import ScorefieldArrays
import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// The denoiser a network is, once it is said how it is asked and what it predicts.
///
///     x̂₀ = c_skip x + c_out F(c_in x, c_noise | condition)
///
/// Points are cast to the network's element type and its answer back: the network computes as it was trained, all else as
/// the caller does.
///
/// - Cost: One evaluation of the network.
public struct NetworkDenoiser: Denoiser, Module {
  public var network: any Network
  public let preconditioning: Preconditioning
  public let schedule: any NoiseSchedule
  /// What is known of the points, shape `[1, c]` for all of them or `[B, c]`; nil for nothing.
  public var condition: Tensor?

  public init(
    _ network: any Network, _ preconditioning: Preconditioning, on schedule: any NoiseSchedule,
    condition: Tensor? = nil
  ) {
    (self.network, self.preconditioning, self.schedule) = (network, preconditioning, schedule)
    self.condition = condition
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) { visitor(&network, "network") }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    let question = preconditioning.question(x, at: kernel, condition: condition, type: network.elementType)
    let output = network(question.x, noise: question.noise, condition: question.condition)
    return preconditioning.data(output.to(x.elementType), at: x, kernel)
  }

  /// In one evaluation of the network.
  public func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    guard points.count > 1 else { return zip(points, times).map { denoise($0, at: $1) } }
    let kernels = schedule.kernels(at: times)
    let questions = zip(points, kernels).map {
      preconditioning.question($0, at: $1, condition: condition, type: network.elementType)
    }
    let conditions = questions.compactMap(\.condition)
    let output = network(
      .concatenated(questions.map(\.x)), noise: .concatenated(questions.map(\.noise)),
      condition: conditions.isEmpty ? nil : .concatenated(conditions))
    var first = 0
    return zip(points, kernels).map { x, kernel in
      defer { first += x.batch }
      return preconditioning.data(output[first..<(first + x.batch)].to(x.elementType), at: x, kernel)
    }
  }

  /// The same denoiser under another condition, shape `[1, c]` or `[B, c]`.
  public func conditioned(on condition: Tensor?) -> NetworkDenoiser {
    var copy = self
    copy.condition = condition
    return copy
  }
}

extension Preconditioning {
  /// What a network is given for points of one kernel.
  public func question(
    _ x: Tensor, at kernel: PerturbationKernel, condition: Tensor?, type: ElementType
  ) -> (x: Tensor, noise: Tensor, condition: Tensor?) {
    (
      (input(at: kernel) * x).to(type),
      .full([x.batch], noise(at: kernel), type: Self.noiseType(beside: type), on: x.device),
      condition.map { ($0.batch == x.batch ? $0 : $0.broadcast(to: [x.batch, $0.shape[1]])).to(type) }
    )
  }

  /// The element type of the noise that a network of an element type is told: a narrower one than `float32` would not tell
  /// neighbouring noise levels apart.
  public static func noiseType(beside type: ElementType) -> ElementType { type.bitWidth < 32 ? .float32 : type }

  /// The data that the network's output tells at points.
  public func data(_ output: Tensor, at x: Tensor, _ kernel: PerturbationKernel) -> Tensor {
    guard let conversion = head.conversion(to: .data, at: kernel) else {
      fatalError(
        "denoise(at: \(kernel.time)): the head does not tell the data at α = \(kernel.alpha), σ = \(kernel.sigma)")
    }
    return conversion(output, at: x)
  }
}
