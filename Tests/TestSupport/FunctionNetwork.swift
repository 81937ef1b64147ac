import Scorefield

/// A network that is a given function of the point and its noise, with a number beside; `float64`.
package struct FunctionNetwork: Network {
  /// What it gives: the output in the shape of the points, and a number for each.
  package typealias Answer = (output: Tensor, scalar: Tensor)

  /// Says the element type; it is 1.
  private var one = Tensor.ones([1])
  private let dimension: Int
  private let function: @Sendable (Tensor, Tensor) -> Answer

  package var featureWidth: Int { dimension + 1 }

  package init(dimension: Int, _ function: @escaping @Sendable (_ x: Tensor, _ noise: Tensor) -> Answer) {
    (self.dimension, self.function) = (dimension, function)
  }

  package mutating func visit(_ visitor: inout ParameterVisitor) { visitor(&one, "one") }

  package func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor {
    let answer = function(x, noise)
    return one * Tensor.concatenated([answer.output.flattened, answer.scalar.expanded(at: 1)], 1)
  }

  package func output(of features: Tensor, like x: Tensor) -> Tensor {
    features[Axis.all, ..<dimension].reshaped(x.shape)
  }

  /// The network with a head that gives its number: `silu(z) − silu(−z) = z`.
  package var twoHeaded: TwoHeaded {
    var generator = Generator(seed: 0)
    let last = Tensor(Array(repeating: 0.0, count: dimension) + [1.0], shape: [1, dimension + 1])
    let head = ScalarHead(featureWidth: dimension + 1, width: 2, using: &generator)
    return TwoHeaded(
      self,
      scalar: head.replacing(parameters: [
        .concatenated([last, -last]), .zeros([2]), Tensor(rows: [[1, -1]]), .zeros([1]),
      ]))
  }

  /// What a perfect network of a head and a trace form gives, from an exact field; row by row.
  package static func exact(
    _ field: any ExactField, _ preconditioning: Preconditioning, form: any TraceForm = PredictionErrorForm(),
    dimension: Int
  ) -> FunctionNetwork {
    FunctionNetwork(dimension: dimension) { x, noise in
      let rows = noise.doubles.enumerated().map { row, level in
        let kernel = field.schedule.kernel(at: field.schedule.time(atHalfLogSNR: -level))
        let point = x[row..<(row + 1)] / preconditioning.input(at: kernel)
        let target = exactTarget(field, point, at: kernel.time)
        let head = preconditioning.head.target(kernel)
        let normalization = form.normalization(at: kernel)
        let moment = form.moment(of: target, predictedNoise: target.noise) / Double(dimension)
        return (
          (head.data * target.data + head.noise * target.noise) / head.scale,
          (moment - normalization.shift) / normalization.scale
        )
      }
      return (.concatenated(rows.map(\.0)), .concatenated(rows.map(\.1)))
    }
  }
}

/// What is known of a posterior, from an exact field.
package func exactTarget(_ field: any ExactField, _ x: Tensor, at t: Double) -> PosteriorTarget {
  let moments = field.posterior(x, at: t)
  let kernel = field.schedule.kernel(at: t)
  return PosteriorTarget(
    data: moments.mean, noise: -kernel.sigma * moments.score,
    residual: kernel.signalToNoise * moments.covarianceTrace, spread: moments.covarianceTrace)
}
