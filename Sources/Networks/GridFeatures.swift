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

    /// Why there are no such grids; nil where there are.
    var problem: String? {
      resolutions.allSatisfy { $0 > 1 } && extent > 0 && extent.isFinite
        ? nil : "a grid has at least 2 nodes a side, and an extent"
    }
  }

  public let configuration: Configuration
  /// Shape `[1, 2, R, R]` each.
  private var grids: [Tensor]

  private static let scale = 10.0
  /// How many numbers come out.
  public var count: Int { 2 * grids.count }

  public init(_ configuration: Configuration, using generator: inout Generator) {
    if let problem = configuration.problem { fatalError("GridFeatures(\(configuration)): \(problem)") }
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
    let places = (y / configuration.extent).reshaped([1, 1, y.batch, 2])
    let rows = zip(grids, configuration.resolutions).map { grid, resolution in
      let spacing = 2 * configuration.extent / Double(resolution - 1)
      let size = Self.scale * ((k / spacing).squared() * -0.125).exp()
      return size * grid.sampledBilinearly(at: places).reshaped([2, y.batch]).transposed
    }
    return .concatenated(rows, 1)
  }
}
