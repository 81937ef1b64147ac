#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A large array in one file or in a folder of shards, read where it is asked for and never kept.
///
/// A folder's shards are its `.npy` or its `.safetensors` files, in the order of their names' bytes; hidden files and folders
/// inside are passed over, and links are followed. All hold rows of one shape and type. Their rows follow one another, and
/// are numbered through. A file that is written to, cut short or replaced after it was opened is told apart by its size, its
/// time and its number, whenever some of it is read.
///
/// - Cost: `open`, `fstat` and `read` per piece; no memory but the rows.
public struct StoredRows: ArrayRows {
  public let path: String
  public let elementType: ElementType
  public let shape: [Int]
  private let shards: [Shard]
  /// The number of the first row of each shard, and of all.
  private let starts: [Int]

  /// Opens a file or a folder.
  ///
  /// - Parameters:
  ///   - path: A `.npy` or `.safetensors` file, or a folder of such files.
  ///   - array: The name of the array in `.safetensors` files that have several.
  /// - Throws: Where one of the files cannot be used, or they do not belong together.
  public init(_ path: String, array: String? = nil) throws(ArrayFileError) {
    let files = try Self.files(path)
    var shards: [Shard] = []
    for file in files {
      let shard = try Shard(file, array: array)
      if let first = shards.first,
        (first.elementType, Array(first.shape.dropFirst())) != (shard.elementType, Array(shard.shape.dropFirst()))
      {
        throw ArrayFileError(
          file, .badData,
          "holds \(shard.elementType.rawValue) rows of shape \(shard.shape.dropFirst()), but "
            + "\(ArrayFileError.quote(Self.name(first.path))) \(first.elementType.rawValue) of \(first.shape.dropFirst())",
          repair: "keep one type and one shape in a folder")
      }
      shards.append(shard)
    }
    self.path = path
    self.shards = shards
    starts = shards.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    elementType = shards[0].elementType
    shape = [starts.last!] + shards[0].shape.dropFirst()
    guard shape.allSatisfy({ $0 > 0 }) else {
      throw ArrayFileError(path, .badData, "is empty (shape \(shape))", repair: "give at least one element")
    }
  }

  /// Whether a path is a folder that holds shards.
  public static func isFolderOfShards(_ path: String) -> Bool {
    (try? names(in: path))?.contains(where: isShard) ?? false
  }

  /// The files, with what tells whether they are still the same.
  public var files: [(path: String, identity: FileIdentity)] { shards.map { ($0.path, $0.identity) } }

  /// The size of all rows, in bytes.
  public var byteCount: Int { shape.reduce(1, *) * elementType.bitWidth / 8 }

  public func rows(_ positions: [Int]) throws(ArrayFileError) -> HostArray {
    var pieces: [Range<Int>] = []
    for position in positions {
      guard (0..<shape[0]).contains(position) else {
        fatalError("StoredRows.rows(\(position)): the array is \(shape)")
      }
      if let last = pieces.last, last.upperBound == position {
        pieces[pieces.count - 1] = last.lowerBound..<(position + 1)
      } else {
        pieces.append(position..<(position + 1))
      }
    }
    return try read(pieces)
  }

  /// Consecutive rows, shape `[range.count, …]`.
  public func rows(in range: Range<Int>) throws(ArrayFileError) -> HostArray {
    guard range.lowerBound >= 0, range.upperBound <= shape[0] else {
      fatalError("StoredRows.rows(\(range)): the array is \(shape)")
    }
    return try read([range])
  }

  private func read(_ pieces: [Range<Int>]) throws(ArrayFileError) -> HostArray {
    let length = shape.dropFirst().reduce(1, *) * elementType.bitWidth / 8
    let count = pieces.reduce(0) { $0 + $1.count }
    let bytes = try Bytes(count: count * length) { (buffer) throws(ArrayFileError) in
      var done = 0
      for piece in pieces {
        var rest = piece
        while !rest.isEmpty {
          let index = shard(of: rest.lowerBound)
          let end = min(rest.upperBound, starts[index + 1])
          let size = (end - rest.lowerBound) * length
          try shards[index].read(
            (rest.lowerBound - starts[index])..<(end - starts[index]),
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + size)]))
          done += size
          rest = end..<rest.upperBound
        }
      }
    }
    return HostArray(elementType, shape: [count] + shape.dropFirst(), bytes: bytes)
  }

  public func error(inRow position: Int, _ problem: String, repair: String) -> ArrayFileError {
    let index = shard(of: position)
    return ArrayFileError(
      shards[index].path, .badData, "row \(position - starts[index]) \(problem)", repair: repair)
  }

  /// What was found in a row before: the same file is another shard too where it is linked twice.
  package func source(of position: Int) -> (file: FileIdentity, row: Int, left: Int) {
    let index = shard(of: position)
    return (shards[index].identity, position - starts[index], starts[index + 1] - position)
  }

  /// The shard that holds a row.
  private func shard(of row: Int) -> Int {
    var (low, high) = (0, shards.count)
    // The last one that does not begin later; shards without rows begin where the next one does.
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= row { low = middle } else { high = middle }
    }
    return low
  }

  // MARK: The folder

  private static func name(_ path: String) -> String {
    path.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? path
  }

  private static func isShard(_ name: String) -> Bool {
    !name.hasPrefix(".") && [".npy", ".safetensors"].contains(where: name.lowercased().hasSuffix)
  }

  private static func files(_ path: String) throws(ArrayFileError) -> [String] {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return [path] }
    let names = try names(in: path).filter(isShard).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    guard let first = names.first else {
      throw ArrayFileError(path, .badData, "has no .npy or .safetensors files", repair: "give a folder of shards")
    }
    func isNPY(_ name: String) -> Bool { name.lowercased().hasSuffix(".npy") }
    if let other = names.first(where: { isNPY($0) != isNPY(first) }) {
      throw ArrayFileError(
        path, .badData, "holds \(ArrayFileError.quote(first)) and \(ArrayFileError.quote(other))",
        repair: "keep one format in a folder")
    }
    return names.map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
  }

  /// The names in a folder, in no order.
  package static func names(in path: String) throws(ArrayFileError) -> [String] {
    guard let folder = opendir(path) else {
      throw ArrayFileError(
        path, .badData, "cannot be opened as a folder (\(systemMessage()))",
        repair: "check the path and its permissions")
    }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      names.append(
        withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names
  }
}
