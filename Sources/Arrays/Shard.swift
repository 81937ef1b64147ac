#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// One file of a larger array: where its rows are, and what it was when it was opened.
struct Shard: Sendable {
  let path: String
  let elementType: ElementType
  let shape: [Int]
  let identity: FileIdentity
  /// Where the first row begins.
  let offset: Int
  let isTransposed, isSwapped: Bool

  var count: Int { shape[0] }
  private var elementSize: Int { elementType.bitWidth / 8 }
  private var width: Int { shape.dropFirst().reduce(1, *) }

  /// Opens a `.npy` file, or a `.safetensors` file with an array of the given name, or with only one.
  init(_ path: String, array name: String?) throws(ArrayFileError) {
    let identity = FileIdentity(of: path)
    let bytes = try Bytes(mapping: path)
    self.path = path
    if path.lowercased().hasSuffix(".safetensors") {
      let header = try SafeTensorsHeader(of: bytes, name: path)
      let file = try SafeTensorsFile(parsing: bytes, name: path)
      guard let chosen = name ?? (file.names.count == 1 ? file.names[0] : nil) else {
        let names = file.names.prefix(3).map { ArrayFileError.quote($0) }.joined(separator: ", ")
        throw ArrayFileError(
          path, .badData, file.names.isEmpty ? "holds no tensors" : "holds \(file.names.count) tensors (\(names), …)",
          repair: "name the one that is meant")
      }
      (elementType, shape) = (try file.elementType(of: chosen), try file.shape(of: chosen))
      (offset, isTransposed, isSwapped) = (header.entries[chosen]!.range.lowerBound, false, false)
    } else {
      guard name == nil else {
        throw ArrayFileError(path, .badData, "is no .safetensors file", repair: "name no array of it")
      }
      let header = try NPYHeader(of: bytes, name: path)
      // One that is too short is told by the row it ends in; all else that can be wrong NPYFile says.
      if let bits = header.elementType.bitCount(ofShape: header.shape), header.shape.count > 0,
        case let missing = header.dataOffset + bits / 8 - bytes.count, missing > 0
      {
        let row = bits / 8 / max(header.shape[0], 1)
        let end = header.isFortranOrder ? 0 : (bytes.count - header.dataOffset) / max(row, 1)
        throw ArrayFileError(
          path, .badData, "ends inside row \(end) of \(header.shape[0]), \(missing) bytes too early",
          repair: "get the whole file again")
      }
      _ = try NPYFile(parsing: bytes, name: path)
      (elementType, shape, offset) = (header.elementType, header.shape, header.dataOffset)
      isTransposed = header.isFortranOrder && shape.count > 1
      isSwapped = header.isByteSwapped && elementType.bitWidth > 8
    }
    guard !shape.isEmpty else {
      throw ArrayFileError(path, .badData, "is a single number", repair: "give an array of shape [B, …]")
    }
    guard elementType.isInteger || elementType.isFloatingPoint, elementType.bitWidth % 8 == 0 else {
      throw ArrayFileError(
        path, .badData, "holds \(elementType.rawValue) values", repair: "give real numbers or grey levels")
    }
    guard let identity, identity == FileIdentity(of: path) else { throw Self.changed(path, at: 0) }
    self.identity = identity
  }

  static func changed(_ path: String, at row: Int) -> ArrayFileError {
    ArrayFileError(
      path, .badData, "has changed since it was opened, as was found at row \(row)",
      repair: "leave it alone until the end, and start again")
  }

  /// Reads consecutive rows, in row-major order and native byte order.
  ///
  /// Not from a mapping: one whose file is cut short by somebody ends the process, and its pages stay in memory.
  func read(_ rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(ArrayFileError) {
    guard !rows.isEmpty, width > 0 else { return }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw ArrayFileError(
        path, errno == ENOENT ? .missing : .badData,
        "cannot be opened any more at row \(rows.lowerBound) (\(systemMessage()))",
        repair: "put it back, and start again")
    }
    defer { close(descriptor) }
    guard FileIdentity(descriptor: descriptor) == identity else { throw Self.changed(path, at: rows.lowerBound) }
    if isTransposed {
      try readTransposed(rows, from: descriptor, into: buffer)
    } else {
      let length = width * elementSize
      let start = offset + rows.lowerBound * length
      try fill(buffer, from: descriptor, at: start, row: rows.lowerBound)
      #if canImport(Glibc)
        // While these are computed with, the disk may fetch the next.
        posix_fadvise(descriptor, off_t(start + buffer.count), off_t(buffer.count), POSIX_FADV_WILLNEED)
      #endif
    }
    if isSwapped { swap(buffer) }
    // What was written meanwhile may be among what was read.
    guard FileIdentity(descriptor: descriptor) == identity else { throw Self.changed(path, at: rows.lowerBound) }
  }

  /// In column-major order neighbours of a column are neighbours in the file.
  private func readTransposed(
    _ rows: Range<Int>, from descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer
  ) throws(ArrayFileError) {
    let columns = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count, alignment: 64)
    defer { columns.deallocate() }
    let length = rows.count * elementSize
    for column in 0..<width {
      let part = UnsafeMutableRawBufferPointer(rebasing: columns[(column * length)..<((column + 1) * length)])
      try fill(
        part, from: descriptor, at: offset + (column * count + rows.lowerBound) * elementSize, row: rows.lowerBound)
    }
    let own = [rows.count] + shape.dropFirst()
    let (from, to) = (Array(NPYFile.strides(own.reversed(), unit: 1).reversed()), NPYFile.strides(own, unit: 1))
    func copy<Element: FixedWidthInteger>(_: Element.Type) {
      StridedCopy<Element>(
        source: UnsafeRawPointer(columns.baseAddress!), destination: buffer.baseAddress!, sourceStrides: from,
        destinationStrides: to, isByteSwapped: false)(own)
    }
    switch elementSize {
    case 1: copy(UInt8.self)
    case 2: copy(UInt16.self)
    case 4: copy(UInt32.self)
    default: copy(UInt64.self)
    }
  }

  private func fill(
    _ buffer: UnsafeMutableRawBufferPointer, from descriptor: Int32, at position: Int, row: Int
  ) throws(ArrayFileError) {
    var done = 0
    while done < buffer.count {
      // Some systems refuse to read more than 2³¹ − 1 bytes at once.
      let found = pread(
        descriptor, buffer.baseAddress! + done, min(buffer.count - done, 1 << 30), off_t(position + done))
      if found < 0, errno == EINTR { continue }
      guard found != 0 else { throw Self.changed(path, at: row) }
      guard found > 0 else {
        throw ArrayFileError(
          path, .badData, "cannot be read at row \(row) (\(systemMessage()))", repair: "check the disk it is on")
      }
      done += found
    }
  }

  private func swap(_ buffer: UnsafeMutableRawBufferPointer) {
    func swap<Element: FixedWidthInteger>(_: Element.Type) {
      let elements = buffer.bindMemory(to: Element.self)
      for index in elements.indices { elements[index] = elements[index].byteSwapped }
    }
    switch elementSize {
    case 2: swap(UInt16.self)
    case 4: swap(UInt32.self)
    case 8: swap(UInt64.self)
    default: break
    }
  }
}
