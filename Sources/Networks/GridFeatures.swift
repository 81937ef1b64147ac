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
    let rows = zip(grids, configuration.resolutions).map { grid, resolution in
      let spacing = 2 * configuration.extent / Double(resolution - 1)
      let size = Self.scale * ((k / spacing).squared() * -0.125).exp()
      return size * Self.interpolated(grid, at: (y + configuration.extent) / spacing, resolution).to(y.elementType)
    }
    return .concatenated(rows, 1)
  }

  /// Bilinear, of both layers of a grid.
  ///
  /// By selection, not by libtorch's sampler of grids: that one has neither forward nor second derivatives.
  ///
  /// - Parameters:
  ///   - grid: Shape `[1, 2, R, R]`.
  ///   - places: Column and row from the first node, in cells, shape `[B, 2]`.
  ///   - resolution: `R`.
  /// - Returns: Shape `[B, 2]`.
  private static func interpolated(_ grid: Tensor, at places: Tensor, _ resolution: Int) -> Tensor {
    let inside = places.clamped(0, Double(resolution - 1))
    // What is not a number has no cell; its shares make the answer one that is not either.
    let cells = withoutGradient {
      let floors = inside.detached().floor().clamped(0, Double(resolution - 2))
      return floors.replacing(with: 0, where: floors.isNaN())
    }
    let shares = inside - cells
    let (right, down) = (shares[Axis.all, 0], shares[Axis.all, 1])
    let (left, up) = (1 - right, 1 - down)
    let weights = Tensor.stacked([left * up, right * up, left * down, right * down])
    let corners = Tensor([0, 1, resolution, resolution + 1]).to(grid.device).expanded(at: 1)
    let first = (cells[Axis.all, 1] * Double(resolution) + cells[Axis.all, 0]).to(.int64)
    // Along one axis: libtorch adds up gradients there much faster.
    let layers = Tensor([0, resolution * resolution], shape: [2, 1, 1]).to(grid.device)
    let positions = (layers + (corners + first).expanded(at: 0)).reshaped(-1)
    let values = grid.reshaped(-1).selecting(positions).reshaped([2, 4, places.batch])
    return (weights * values).sum(1).transposed
  }
}
