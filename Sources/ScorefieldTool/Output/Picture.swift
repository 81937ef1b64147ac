import Scorefield
import ScorefieldImages

/// Arrays made visible: many small images side by side.
enum Picture {
  /// Images `[N, H, W]` or `[N, H, W, 3]` of values from −1 (black) to 1 (white); what lies beyond is cut.
  static func grey(_ images: Tensor, columns: Int, magnified factor: Int) -> HostArray {
    let bytes = (127.5 * (images.clamped(-1, 1) + 1)).rounded().to(.uint8)
    return mosaic(of: magnified(bytes, factor).hostArray, columns: columns, padding: 2)
  }

  /// Images `[N, H, W]` or `[N, H, W, 3]` as they are, pixel for pixel.
  static func plain(_ images: Tensor, columns: Int) -> HostArray { grey(images, columns: columns, magnified: 1) }

  /// Images `[N, H, W]` of signed values, each in its own scale: red above zero, blue below, white at zero.
  static func signed(_ images: Tensor, columns: Int, magnified factor: Int) -> HostArray {
    let scaled = images / images.abs().max(-1, -2, keeping: true).clamped(1e-300)
    let (above, below) = (scaled.clamped(0), (-scaled).clamped(0))
    let colours = Tensor.stacked([1 - below, 1 - scaled.abs(), 1 - above], -1)
    let bytes = (255 * colours).rounded().to(.uint8)
    return mosaic(of: magnified(bytes, factor).hostArray, columns: columns, padding: 2)
  }

  /// Every pixel of `[N, H, W, …]` as a square.
  private static func magnified(_ images: Tensor, _ factor: Int) -> Tensor {
    func repeated(_ x: Tensor, _ axis: Int) -> Tensor {
      let positions = Tensor((0..<x.shape[axis] * factor).map { $0 / factor })
      return x.selecting(positions, axis)
    }
    return repeated(repeated(images, 1), 2)
  }

  /// Pictures of one width on top of each other.
  static func column(_ pictures: [HostArray]) -> HostArray {
    let coloured = pictures.map { picture in
      let tensor = Tensor(picture)
      return tensor.rank == 3 ? tensor : tensor.expanded(at: 2).broadcast(to: tensor.shape + [3])
    }
    let width = coloured.map { $0.shape[1] }.max() ?? 0
    return Tensor.concatenated(
      coloured.map { $0.padded(0, 0, 0, width - $0.shape[1], 0, 0, with: 255) }
    ).hostArray
  }
}
