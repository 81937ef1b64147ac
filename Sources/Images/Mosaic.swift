import ScorefieldArrays

/// Lays pictures side by side, row after row, as one picture.
///
/// - Parameters:
///   - pictures: `uint8` of shape `[count, height, width]` or `[count, height, width, 3]`, at least one.
///   - columns: How many go into a row; fewer pictures make a shorter row.
///   - padding: The width of the black frame around each.
/// - Returns: A picture of shape `[height, width]` or `[height, width, 3]`, laid out as torchvision's `make_grid` does.
public func mosaic(of pictures: HostArray, columns: Int, padding: Int = 2) -> HostArray {
  let shape = pictures.shape
  guard pictures.elementType == .uint8, shape.count == 3 || shape.count == 4 && shape[3] == 3, shape[0] > 0,
    columns > 0, padding >= 0
  else {
    fatalError(
      "mosaic(\(pictures.elementType.rawValue) \(shape), columns: \(columns), padding: \(padding)): "
        + "needs uint8 [count, height, width] or [count, height, width, 3]")
  }
  let (count, height, width, channels) = (shape[0], shape[1], shape[2], shape.count == 4 ? 3 : 1)
  let columns = min(columns, count)
  let rows = (count + columns - 1) / columns
  let (totalHeight, totalWidth) = (rows * (height + padding) + padding, columns * (width + padding) + padding)

  let bytes = Bytes(count: totalHeight * totalWidth * channels) { target in
    target.initializeMemory(as: UInt8.self, repeating: 0)
    pictures.withUnsafeBytes { source in
      let lineSize = width * channels
      for line in 0..<(count * height) {
        let (picture, y) = (line / height, line % height)
        let (row, column) = (picture / columns, picture % columns)
        let start = (padding + row * (height + padding) + y) * totalWidth + padding + column * (width + padding)
        target[(start * channels)...].copyBytes(from: source[(line * lineSize)..<((line + 1) * lineSize)])
      }
    }
  }
  return HostArray(.uint8, shape: [totalHeight, totalWidth] + shape.dropFirst(3), bytes: bytes)
}
