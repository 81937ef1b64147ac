import Scorefield
import ScorefieldImages

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// An array a command reads: `.npy`, a table as `.csv`, or a folder of PNGs.
struct ArrayInput {
  let path: String
  /// As the file holds it.
  let array: HostArray
  /// Whether it came from pictures, which are read with 256 levels at most.
  let isPicture: Bool
  /// Whether it holds grey levels, to be scaled to [−1, 1].
  var isLevels: Bool { array.elementType.isInteger }

  init(_ path: String) throws {
    self.path = path
    var status = stat()
    let isFolder = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    let kind = isFolder ? "folder" : ArrayOutput.fileExtension(of: path)
    isPicture = kind == "folder" || kind == "png"
    switch kind {
    case "folder": array = try PNG.readFolder(path)
    case "csv": array = try CSV.read(path)
    case "png":
      let picture = try PNG.read(path)
      array = picture.withUnsafeBytes {
        HostArray(picture.elementType, shape: [1] + picture.shape, bytes: Bytes(copying: $0))
      }
    case "npy": array = try NPY.read(path)
    default:
      // Bytes decide where the name does not.
      array = try NPY.read(path)
    }
    guard !array.shape.isEmpty else {
      throw Failure(.badData, path, "is a single number", repair: "give an array of shape [B, …]")
    }
    guard array.count > 0 else {
      throw Failure(.badData, path, "is empty (shape \(array.shape))", repair: "give at least one element")
    }
    guard array.elementType.isInteger || array.elementType.isFloatingPoint, Tensor.supports(array.elementType) else {
      throw Failure(
        .badData, path, "holds \(array.elementType.rawValue) values", repair: "give real numbers or grey levels")
    }
  }

  /// The numbers as they are.
  func values(_ type: ElementType) throws(Failure) -> Tensor { try finite(Tensor(array).to(type)) }

  /// Data: numbers as they are, grey levels `0 … levels − 1` scaled to [−1, 1].
  func data(_ type: ElementType, levels: Int) throws(Failure) -> Tensor {
    guard isLevels else { return try values(type) }
    guard !isPicture || levels <= 256 else {
      throw .option("--levels", "\(path) is read with 256 levels", repair: "leave --levels out, or give an .npy")
    }
    let grey = Tensor(array).to(.float64)
    let (lowest, highest) = (grey.min().item, grey.max().item)
    guard lowest >= 0, highest <= Double(levels - 1) else {
      let found = "\(Int(lowest < 0 ? lowest : highest))"
      throw Failure(
        .badData, path, "holds the grey level \(found), outside 0…\(levels - 1)",
        repair: "say how many levels there are with --levels, or give floating-point numbers")
    }
    return GreyLevels(levels).scaled(grey, type: type)
  }

  private func finite(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.isFinite().all() else {
      let what = tensor.isNaN().any() ? "NaN" : "infinity"
      let isOurs = Tensor(array).to(.float64).isFinite().all()
      throw Failure(
        .badData, path, isOurs ? "has values too large for \(tensor.elementType.rawValue)" : "contains \(what)",
        repair: isOurs ? "use --dtype float64" : "remove or replace such values")
    }
    // Their squares must be numbers too.
    let limit = tensor.elementType == .float32 ? 1e15 : 1e100
    guard tensor.abs().max().item <= limit else {
      throw Failure(
        .badData, path, "has values beyond \(limit), whose squares \(tensor.elementType.rawValue) cannot hold",
        repair: "scale the data")
    }
    return tensor
  }
}
