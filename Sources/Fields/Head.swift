import ScorefieldPaths
import ScorefieldTensorCore

/// What a network predicts at `x = α x₀ + σ ε`: a combination of the data and the noise.
///
///     s y = A x₀ + B ε
///
/// With `x` itself these are two equations, of determinant `Δ = α B − σ A`: from one prediction and the point follow all
/// others, and the table of conversions need not be written. `A`, `B` and `s` are finite at every time, and the scale `s`
/// is 0 at most where the prediction is not defined.
///
/// Source: Karras et al. 2022, arXiv:2206.00364, eq. 7, of which each head is one instance; the two equations solved.
public struct Head: Sendable {
  /// `A`, `B` and `s`.
  public struct Target: Sendable, Equatable {
    public let data, noise, scale: Double

    public init(data: Double, noise: Double, scale: Double = 1) {
      (self.data, self.noise, self.scale) = (data, noise, scale)
    }
  }

  /// `z = point · x + output · y`, how one prediction at a point is made of another.
  public struct Conversion: Sendable, Equatable {
    /// The coefficients; `|output|` is also how far an error of `y` is amplified.
    public let point, output: Double

    public init(point: Double, output: Double) { (self.point, self.output) = (point, output) }

    public func callAsFunction(_ output: Tensor, at x: Tensor) -> Tensor {
      point == 0 ? (self.output == 1 ? output : self.output * output) : point * x + self.output * output
    }
  }

  /// What is predicted, at a kernel.
  public let target: @Sendable (PerturbationKernel) -> Target

  public init(_ target: @escaping @Sendable (PerturbationKernel) -> Target) { self.target = target }

  /// From this head's output to another's, or nil where it does not say: outside its domain.
  ///
  ///     z = ((A₂ B − B₂ A) x + Δ₂ s y) / (s₂ Δ)
  ///
  /// It divides by σ or α only where the answer depends on them. A head that predicts what is asked for says it everywhere;
  /// the data head does not know the noise where σ = 0, nor the noise head the data where α = 0.
  public func conversion(to other: Head, at kernel: PerturbationKernel) -> Conversion? {
    let (from, to) = (target(kernel), other.target(kernel))
    let cross = to.data * from.noise - to.noise * from.data
    guard cross != 0 else {
      // The same quantity but for a factor, whatever Δ is.
      let ratio = from.data.magnitude > from.noise.magnitude ? to.data / from.data : to.noise / from.noise
      if to.scale == from.scale { return Conversion(point: 0, output: ratio) }
      return to.scale == 0 ? nil : Conversion(point: 0, output: ratio * (from.scale / to.scale))
    }
    let determinant = from.determinant(at: kernel)
    guard determinant != 0, to.scale != 0 else { return nil }
    return Conversion(
      point: cross / determinant / to.scale, output: from.scale * (to.determinant(at: kernel) / determinant) / to.scale)
  }

  /// The weight of this head's squared error that is another's of weight 1: `|Δ₂ s/(Δ s₂)|²`, or nil where there is none.
  public func lossWeight(matching other: Head, at kernel: PerturbationKernel) -> Double? {
    conversion(to: other, at: kernel).map { $0.output * $0.output }
  }
}

extension Head.Target {
  /// `Δ = α B − σ A`.
  func determinant(at kernel: PerturbationKernel) -> Double { kernel.alpha * noise - kernel.sigma * data }
}

extension Head {
  /// The data, `x₀`.
  public static let data = Head { _ in Target(data: 1, noise: 0) }
  /// The noise, `ε`.
  public static let noise = Head { _ in Target(data: 0, noise: 1) }
  /// The score, `−ε/σ`.
  public static let score = Head { kernel in Target(data: 0, noise: -1, scale: kernel.sigma) }
  /// The "v" of progressive distillation, `α ε − σ x₀`.
  ///
  /// Source: Salimans & Ho 2022, arXiv:2202.00512, appendix D.
  public static let v = Head { kernel in Target(data: -kernel.sigma, noise: kernel.alpha) }
  /// The velocity of the path, `α̇ x₀ + σ̇ ε`.
  ///
  /// Source: Lipman et al. 2023, arXiv:2210.02747, eq. 9.
  public static let velocity = Head { kernel in Target(data: kernel.alphaRate, noise: kernel.sigmaRate) }
  /// What is left for the network of an EDM to predict, of unit variance: `(x₀ − c_skip x)/c_out`.
  ///
  ///     c_skip = α σ_d²/R²,   c_out = σ σ_d/R,   R² = α² σ_d² + σ²
  ///     F = (σ x₀ − α σ_d² ε)/(σ_d R)
  ///
  /// Source: Karras et al. 2022, arXiv:2206.00364, table 1 (there α = 1).
  public static func edm(sigmaData: Double) -> Head {
    guard sigmaData > 0, sigmaData.isFinite else {
      fatalError("Head.edm(sigmaData: \(sigmaData)): the data's standard deviation must be larger than 0")
    }
    return Head { kernel in
      let signal = kernel.alpha * sigmaData
      let total = (signal * signal + kernel.sigma * kernel.sigma).squareRoot()
      return Target(data: kernel.sigma / (sigmaData * total), noise: -signal / total)
    }
  }
}

extension Denoiser {
  /// The estimate in the form of a head: what a perfect network of that head would predict.
  ///
  /// Stops where the head is not defined.
  public func prediction(_ head: Head, _ x: Tensor, at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    guard let conversion = Head.data.conversion(to: head, at: kernel) else {
      fatalError("prediction(at: \(t)): the head is not defined at α = \(kernel.alpha), σ = \(kernel.sigma)")
    }
    return conversion(denoise(x, at: t), at: x)
  }
}
