import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// An explicit exponential Runge–Kutta method in a frame: a tableau of `φ` functions.
///
///     uᵢ = (scaleᵢ/scale_t) x_t + gainᵢ cᵢh (φ₁(−cᵢh) q₀ + Σⱼ aᵢⱼ (qⱼ − q₀)),   qᵢ = q(uᵢ, μ_t + cᵢh)
///     x_s = (scale_s/scale_t) x_t + gain_s h (φ₁(−h) q₀ + Σⱼ bⱼ (qⱼ − q₀))
///
/// DPM-Solver and the single-step kind of DPM-Solver++ are this method, in the frame of the noise and of the data.
///
/// - Order: The tableau's. One denoiser evaluation per stage.
///
/// Source: Hochbruck & Ostermann 2005, doi:10.1137/040611434, for the form.
public struct ExponentialRungeKutta: Solver {
  /// The coefficients of a method; those of the first stage follow from the others.
  public struct Tableau: Sendable, Equatable {
    /// `factor · φₖ(−ch)`, where `c` is the stage's own node, and 1 in the last row.
    public struct Weight: Sendable, Equatable {
      public let phi: Int
      public let factor: Double

      public static let zero = Weight(phi: 1, factor: 0)
      public static func phi1(_ factor: Double) -> Weight { Weight(phi: 1, factor: factor) }
      public static func phi2(_ factor: Double) -> Weight { Weight(phi: 2, factor: factor) }
      public static func phi3(_ factor: Double) -> Weight { Weight(phi: 3, factor: factor) }
    }

    /// `cᵢ` of the stages after the first, in `μ`; between 0 and 1.
    public let nodes: [Double]
    /// `aᵢⱼ` of the stages after the first, over the stages between; the first row is empty.
    public let a: [[Weight]]
    /// `bⱼ` over the stages after the first.
    public let b: [Weight]

    /// A tableau of the stages after the first.
    public init(nodes: [Double], a: [[Weight]], b: [Weight]) {
      guard b.count == nodes.count, a.count == nodes.count, zip(a, 0...).allSatisfy({ $0.count == $1 }),
        nodes.allSatisfy({ 0 < $0 && $0 <= 1 })
      else {
        fatalError(
          "Tableau(nodes: \(nodes), a: rows of \(a.map(\.count)), b: \(b.count)): needs nodes in (0, 1] and rows of "
            + "0, 1, …, one per node")
      }
      (self.nodes, self.a, self.b) = (nodes, a, b)
    }

    /// Evaluations per step.
    public var stages: Int { nodes.count + 1 }
  }

  public let frame: Frame
  public let tableau: Tableau

  public init(_ frame: Frame, _ tableau: Tableau) { (self.frame, self.tableau) = (frame, tableau) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let step = FrameStep(frame, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    guard step.isRegular else { return step.ddim(x, data) }
    return tableau.advance(x, by: step, from: frame.node(x, data, at: step.now), in: field)
  }
}

extension ExponentialRungeKutta.Tableau {
  /// The step, from the quantity at its begin.
  func advance(_ x: Tensor, by step: FrameStep, from first: FrameNode, in field: any Denoiser) -> Tensor {
    step.state(x, weights(step, b), stages(x, of: step, from: first, in: field))
  }

  /// The quantities of all stages.
  func stages(_ x: Tensor, of step: FrameStep, from first: FrameNode, in field: any Denoiser) -> [FrameNode] {
    var found = [first]
    for (node, row) in zip(nodes, a) {
      let part = step.part(node)
      let point = part.state(x, weights(part, row), found)
      found.append(step.frame.node(point, field.denoise(point, at: part.next.time), at: part.next))
    }
    return found
  }

  /// The weights of the quantities themselves, the first stage's among them.
  func weights(_ step: FrameStep, _ row: [Weight]) -> [Double] {
    let others = differences(step, row)
    return [step.moment(1) - others.reduce(0, +)] + others
  }

  /// The weights of the quantities' differences from the first, in the part of the step that leads to the row's stage.
  func differences(_ part: FrameStep, _ row: [Weight]) -> [Double] {
    row.map { $0.factor * part.moment($0.phi) }
  }
}
