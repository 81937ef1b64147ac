import Scorefield

/// Points of a chessboard of 4 × 4 fields on [−4, 4]², half of which are full.
///
/// Source: Grathwohl et al. 2019, arXiv:1810.01367, section 4.1.
enum Chessboard {
  /// Half the side.
  static let extent = 4.0

  /// - Returns: Shape `[count, 2]`, `float64`.
  static func points(_ count: Int, using generator: inout Generator) -> Tensor {
    let across = 4 * Tensor.uniform([count], using: &generator) - 2
    let within = Tensor.uniform([count], using: &generator)
    let row = Tensor.randomIntegers([count], in: 0..<2, using: &generator).to(.float64)
    // The remainder by 2 of a negative number too: a column starts with a full field or an empty one.
    let column = across.floor()
    let shift = column - 2 * (column / 2).floor()
    return 2 * Tensor.stacked([across, within - 2 * row + shift], 1)
  }
}
