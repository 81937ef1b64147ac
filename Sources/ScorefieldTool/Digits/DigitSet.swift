import Scorefield

/// The digits that come with the package: those a model learns from, and those it never sees.
struct DigitSet {
  static let scale = GreyLevels(17)

  /// Grey levels, `[N, 8, 8]`, of each part.
  let knownLevels, heldOutLevels: Tensor
  /// What they show; nil where no labels were read.
  let knownClasses, heldOutClasses: [Int]?

  /// Grey levels in [−1, 1].
  func known(_ type: ElementType) -> Tensor { Self.scale.scaled(knownLevels, type: type) }
  func heldOut(_ type: ElementType) -> Tensor { Self.scale.scaled(heldOutLevels, type: type) }

  /// The files, read and checked; that needs no engine.
  struct Files {
    fileprivate let images: ArrayInput
    fileprivate let labels: HostArray?

    init(in folder: String, labelled: Bool) throws {
      images = try ArrayInput("\(folder)/digits.npy")
      guard images.isLevels, images.array.shape.count == 3, images.array.shape[0] >= 400,
        images.array.shape[1...] == [8, 8]
      else {
        throw Failure(
          .badData, images.path, "is no set of 400 or more images of 8 × 8 grey levels",
          repair: "use the digits that come with the package")
      }
      let path = "\(folder)/digits-labels.npy"
      labels = labelled ? try NPY.read(path) : nil
      guard labels.map({ $0.elementType.isInteger && $0.shape == [images.array.shape[0]] }) ?? true else {
        throw Failure(
          .badData, path, "does not hold one class for each of the \(images.array.shape[0]) images",
          repair: "use the labels that come with the package")
      }
    }
  }

  /// A split that the seed decides.
  init(_ files: Files, heldOut count: Int, seed: UInt64) throws {
    // Refuses what is no grey level of the digits.
    _ = try files.images.data(.float32, levels: Self.scale.count)
    let levels = Tensor(files.images.array).to(.int64)
    var generator = Generator(seed: seed)
    let order = Tensor.permutation(levels.batch, using: &generator)
    heldOutLevels = levels.selecting(order[..<count])
    knownLevels = levels.selecting(order[count...])
    let classes = files.labels.map { Tensor($0).to(.int64) }
    guard classes.map({ $0.min().item >= 0 && $0.max().item <= 9 }) ?? true else {
      throw Failure(
        .badData, "digits-labels.npy", "holds a class outside 0…9", repair: "use the labels that come with the package")
    }
    heldOutClasses = classes?.selecting(order[..<count]).integers
    knownClasses = classes?.selecting(order[count...]).integers
  }
}
