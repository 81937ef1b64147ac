/// An array in host memory: an element type, a shape, and the bytes in row-major order and native endianness.
///
/// The bytes are owned, or a view of a memory-mapped file that stays mapped as long as any array refers to it.
/// It is what files hold and what the engine takes; reading one never loads the engine.
public struct HostArray: Sendable {
  public let elementType: ElementType
  public let shape: [Int]
  /// The elements, one after another.
  public let bytes: Bytes

  /// The number of elements, the product of the shape.
  public var count: Int { shape.reduce(1, *) }
  /// The size of the elements, in bytes.
  public var byteCount: Int { bytes.count }

  /// An array over bytes that are already in row-major order and native endianness.
  ///
  /// - Parameters:
  ///   - elementType: The type of the elements.
  ///   - shape: The shape; its product times the element's size must be the number of bytes.
  ///   - bytes: The elements.
  public init(_ elementType: ElementType, shape: [Int], bytes: Bytes) {
    let expected = (shape.reduce(1, *) * elementType.bitWidth + 7) / 8
    guard bytes.count == expected else {
      fatalError("HostArray(\(elementType.rawValue), \(shape)): needs \(expected) bytes, got \(bytes.count)")
    }
    (self.elementType, self.shape, self.bytes) = (elementType, shape, bytes)
  }

  /// A `float64` array of the given values in row-major order.
  public init(_ values: [Double], shape: [Int]) {
    self.init(.float64, shape: shape, bytes: values.withUnsafeBytes { Bytes(copying: $0) })
  }

  /// Calls the closure with the elements' bytes; the pointer is valid only inside.
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try bytes.withUnsafeBytes(body)
  }
}
