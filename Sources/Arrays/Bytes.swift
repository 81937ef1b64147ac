/// Immutable bytes that many values may share: owned memory or part of a mapped file.
public struct Bytes: @unchecked Sendable {
  // Sound: nobody writes through `start` once the value exists, and `owner` frees or unmaps it last.
  private let start: UnsafeRawPointer
  public let count: Int
  private let owner: Owner

  /// Frees or unmaps the memory when the last value that refers to it is gone.
  private final class Owner {
    let release: () -> Void
    init(_ release: @escaping () -> Void) { self.release = release }
    deinit { release() }
  }

  /// Bytes that become the value's own; `release` runs once, when nobody refers to them any more.
  public init(start: UnsafeRawPointer, count: Int, release: @escaping () -> Void) {
    (self.start, self.count, self.owner) = (start, count, Owner(release))
  }

  /// New memory of the given size, filled by the closure, 64-byte aligned.
  public init<E: Error>(count: Int, initializingWith body: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E)
  {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    do { try body(memory) } catch {
      memory.deallocate()
      throw error
    }
    // An empty allocation still has an address on every platform we know.
    self.init(start: UnsafeRawPointer(memory.baseAddress!), count: count) { memory.deallocate() }
  }

  /// A copy of the given bytes.
  public init(copying source: UnsafeRawBufferPointer) {
    self.init(count: source.count) { $0.copyMemory(from: source) }
  }

  /// A view of part of the bytes; shares their memory.
  public subscript(range: Range<Int>) -> Bytes {
    guard range.lowerBound >= 0, range.upperBound <= count else {
      fatalError("Bytes[\(range)]: outside 0..<\(count)")
    }
    return Bytes(start: start + range.lowerBound, count: range.count, owner: owner)
  }

  private init(start: UnsafeRawPointer, count: Int, owner: Owner) {
    (self.start, self.count, self.owner) = (start, count, owner)
  }

  /// Calls the closure with the bytes; the pointer is valid only inside.
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(owner) {} }
    return try body(UnsafeRawBufferPointer(start: start, count: count))
  }
}
