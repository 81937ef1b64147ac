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
    guard shape.count > 1 else { return copy(count: shape[axis], axis: axis, from: from, to: to) }
    for index in 0..<shape[axis] {
      let (from, to) = (from + index * sourceStrides[axis], to + index * destinationStrides[axis])
      if shape.count > 2 {
        copy(shape.dropFirst(), from: from, to: to)
      } else {
        copy(count: shape[axis + 1], axis: axis + 1, from: from, to: to)
      }
    }
  }

  @inline(__always)
  private func copy(count: Int, axis: Int, from: Int, to: Int) {
    let size = MemoryLayout<Element>.size
    let (sourceStep, destinationStep) = (sourceStrides[axis] * size, destinationStrides[axis] * size)
    var (from, to) = (source + from * size, destination + to * size)
    for _ in 0..<count {
      let element = from.loadUnaligned(as: Element.self)
      to.storeBytes(of: isByteSwapped ? element.byteSwapped : element, as: Element.self)
      (from, to) = (from + sourceStep, to + destinationStep)
    }
  }
}
