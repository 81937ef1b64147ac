import ScorefieldArrays
import ScorefieldTensorCore

/// Learned functions of the plane, piecewise bilinear on grids of several spacings, each faded out where the noise is wider
/// than its cells.
///
///     y ↦ e^{−(k/h)²/8} (bilinear interpolation of the trained values at y's cell)
///
/// Points outside the square see its border. The trained values are scaled up, so that one learning rate serves them and
/// the layers behind them.
///
/// - Cost: `O(B)` per grid; `2 R²` parameters each.
///
/// Source: Müller et al. 2022, arXiv:2201.05989, section 3, without hashing.
public struct GridFeatures: Module {
  /// What the grids are made by.
  public struct Configuration: Codable, Sendable, Equatable {
    /// Nodes of a side of each grid.
    public var resolutions: [Int]
    /// Half the side of the square, about 0.
    public var extent: Double

    public init(resolutions: [Int] = [64, 128, 256, 512], extent: Double) {
      (self.resolutions, self.extent) = (resolutions, extent)
    }
  }

  public let configuration: Configuration
  /// Shape `[1, 2, R, R]` each.
  private var grids: [Tensor]

  private static let scale = 10.0
  /// How many numbers come out.
  public var count: Int { 2 * grids.count }

  public init(_ configuration: Configuration, using generator: inout Generator) {
    guard configuration.resolutions.allSatisfy({ $0 > 1 }), configuration.extent > 0 else {
      fatalError("GridFeatures(\(configuration)): a grid has at least 2 nodes a side, and an extent")
    }
    self.configuration = configuration
    grids = configuration.resolutions.map {
      Tensor.symmetricUniform([1, 2, $0, $0], 0.01 / Self.scale, using: &generator)
    }
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    for index in grids.indices { visitor(&grids[index], "\(index)") }
  }

  /// - Parameters:
  ///   - y: Points in the scale of the data, shape `[B, 2]`.
  ///   - k: The standard deviation of their noise in that scale, shape `[B, 1]`.
  /// - Returns: Shape `[B, 2 grids]`, in the type of `y`.
  public func callAsFunction(_ y: Tensor, noise k: Tensor) -> Tensor {
    // All grids at once, `[grids, B]`: many small operations would take longer than the work in them.
    let (type, resolutions) = (y.elementType, configuration.resolutions)
    func column(_ values: [Double]) -> Tensor { Tensor(values).to(type).to(y.device).expanded(at: 1) }
    func integers(_ values: [Int], _ shape: [Int]) -> Tensor { Tensor(values, shape: shape).to(y.device) }
    let spacings = column(resolutions.map { 2 * configuration.extent / Double($0 - 1) })
    let (ends, cells) = (column(resolutions.map { Double($0 - 1) }), column(resolutions.map { Double($0 - 2) }))

    /// The first node of the cell and how far from it, along an axis.
    func place(_ axis: Int) -> (node: Tensor, share: Tensor) {
      let inside = Tensor.minimum(((y[Axis.all, axis] + configuration.extent) / spacings).clamped(0), ends)
      // What is not a number has no cell; its share makes the answer one that is not either.
      let node = withoutGradient {
        let floors = Tensor.minimum(inside.detached().floor(), cells)
        return floors.replacing(with: 0, where: floors.isNaN())
      }
      return (node.to(.int64), inside - node)
    }
    let (across, down) = (place(0), place(1))
    let (left, above) = (1 - across.share, 1 - down.share)
    let weights = Tensor.stacked([
      left * above, across.share * above, left * down.share, across.share * down.share,
    ])

    // Selection along one axis, not libtorch's sampler of grids: that one has neither forward nor second derivatives.
    let table = Tensor.concatenated(grids.map { $0.reshaped(-1) })
    var sum = 0
    let starts = resolutions.map { resolution in
      defer { sum += 2 * resolution * resolution }
      return sum
    }
    let count = grids.count
    let first = across.node + down.node * integers(resolutions, [count, 1]) + integers(starts, [count, 1])
    let corners = integers(
      [0, 1].flatMap { row in [0, 1].flatMap { c in resolutions.map { row * $0 + c } } }, [4, count, 1])
    let layers = integers([0, 1].flatMap { layer in resolutions.map { layer * $0 * $0 } }, [2, 1, count, 1])
    let values = table.selecting((layers + (corners + first)).reshaped(-1)).reshaped([2, 4, count, y.batch])

    let size = Self.scale * ((k.squeezed(1) / spacings).squared() * -0.125).exp()
    return (size * (weights * values).sum(1).to(type)).permuted(2, 1, 0).reshaped([y.batch, 2 * count])
  }
}
