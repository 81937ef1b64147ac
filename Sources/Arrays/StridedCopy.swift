/// Copies elements from any strided layout, in either byte order, into row-major order.
///
/// The longest axis is halved until a piece fits the cache, so that a transposition touches each cache line of both
/// sides about once, for any number of axes.
///
/// - Cost: `O(n)` for `n` elements; no memory.
///
/// Source: Frigo, Leiserson, Prokop & Ramachandran 1999, "Cache-oblivious algorithms", section 3.
struct StridedCopy<Element: FixedWidthInteger> {
  let source: UnsafeRawPointer
  let destination: UnsafeMutableRawPointer
  /// How far apart neighbours along each axis are, in elements.
  let sourceStrides, destinationStrides: [Int]
  let isByteSwapped: Bool

  /// Copies the part of the given shape whose first element has the given offsets, in elements.
  func callAsFunction(_ shape: [Int], from: Int = 0, to: Int = 0) {
    guard shape.reduce(1, *) > 4096 else { return copy(shape[...], from: from, to: to) }
    let axis = shape.indices.max { shape[$0] < shape[$1] }!
    var (first, second) = (shape, shape)
    first[axis] = shape[axis] / 2
    second[axis] = shape[axis] - first[axis]
    self(first, from: from, to: to)
    self(
      second, from: from + first[axis] * sourceStrides[axis], to: to + first[axis] * destinationStrides[axis])
  }

  private func copy(_ shape: ArraySlice<Int>, from: Int, to: Int) {
    let axis = shape.startIndex
    let (sourceStride, destinationStride) = (sourceStrides[axis], destinationStrides[axis])
    for index in 0..<shape[axis] {
      let (from, to) = (from + index * sourceStride, to + index * destinationStride)
      if shape.count > 1 {
        copy(shape.dropFirst(), from: from, to: to)
      } else {
        let size = MemoryLayout<Element>.size
        var element = source.loadUnaligned(fromByteOffset: from * size, as: Element.self)
        if isByteSwapped { element = element.byteSwapped }
        destination.storeBytes(of: element, toByteOffset: to * size, as: Element.self)
      }
    }
  }
}
