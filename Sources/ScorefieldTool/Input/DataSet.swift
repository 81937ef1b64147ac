import Scorefield

/// A data set that is a model, in memory or on the disk, and its rows by their numbers.
struct DataSet {
  /// The field of its points.
  let field: any ExactField
  let sampleShape: [Int]
  /// How many rows it has, whether they are points or not.
  let count: Int
  /// Whether its rows are grey levels.
  let isLevels: Bool
  /// The points, where they are in memory.
  let points: Tensor?
  /// Their weights, where they have any.
  var weights: Tensor? { points == nil ? nil : selection.weights.map { $0[$0 .> 0] } }
  /// The field, where the points are on the disk.
  let stored: StoredField?
  /// What tells it from other data, and from itself after it was changed.
  let identity: @Sendable () -> String
  private let selection: PointSelection
  private let source: Source

  private enum Source {
    /// The rows as a model sees them, and as they are in the file.
    case memory(EmpiricalDenoiser, Tensor, Tensor)
    case files(StoredPoints, EmpiricalDenoiser?)
  }

  /// A data set in memory.
  init(
    _ data: Tensor, raw: Tensor, identity: @escaping @Sendable () -> String, _ selection: PointSelection, levels: Bool,
    on schedule: any NoiseSchedule
  ) {
    let memory = EmpiricalDenoiser(data: data, weights: selection.weights, on: schedule)
    (field, stored, source) = (memory, nil, .memory(memory, data, raw))
    points = selection.weights.map { data[$0 .> 0] } ?? data
    (sampleShape, count, isLevels) = (Array(data.shape.dropFirst()), data.batch, levels)
    (self.identity, self.selection) = (identity, selection)
  }

  /// A data set in files, which streams or is read into memory.
  init(
    _ stored: StoredPoints, _ selection: PointSelection, streams: Bool, on schedule: any NoiseSchedule
  ) throws(ArrayFileError) {
    if streams {
      let field = StoredField(stored, on: schedule)
      (self.field, self.stored, points, source) = (field, field, nil, .files(stored, nil))
    } else {
      let data = try stored.rows(Array(0..<stored.rowCount))
      let memory = EmpiricalDenoiser(data: data, weights: selection.weights, on: schedule)
      (field, self.stored, source) = (memory, nil, .files(stored, memory))
      points = selection.weights.map { data[$0 .> 0] } ?? data
    }
    (sampleShape, count, isLevels) = (stored.pointShape, stored.rowCount, stored.levels != nil)
    let files = stored.rows.files
    identity = {
      files.map { file in
        "\(file.path.split(separator: "/").last ?? "") \(file.identity.size) \(file.identity.seconds)."
          + "\(file.identity.nanoseconds)"
      }.joined(separator: ", ")
    }
    self.selection = selection
  }

  /// The rows in a range that are points.
  func positions(in range: Range<Int>) -> [Int] { selection.rows(in: range) }

  /// Rows as a model sees them, `[B, …]`.
  func rows(_ positions: [Int]) throws(ArrayFileError) -> Tensor {
    switch source {
    case .memory(_, let data, _): data.selecting(Tensor(positions))
    case .files(let stored, _): try stored.rows(positions)
    }
  }

  /// Rows as the file has them, `[B, …]`.
  func raw(_ positions: [Int]) throws(ArrayFileError) -> Tensor {
    switch source {
    case .memory(_, _, let raw): raw.selecting(Tensor(positions))
    case .files(let stored, _): Tensor(try stored.rows.rows(positions))
    }
  }

  /// The field for queries that do each without one row.
  func leavingOut(_ positions: [Int]) -> any ExactField {
    switch source {
    case .memory(let field, _, _), .files(_, let field?): RepeatedOmission(base: field, positions: positions)
    case .files: stored!.leavingOut(positions)
    }
  }
}

/// A field whose queries do each without a point, and may be drawn several times.
private struct RepeatedOmission: ExactField {
  let base: EmpiricalDenoiser
  let positions: [Int]
  var schedule: any NoiseSchedule { base.schedule }

  private func field(for x: Tensor) -> LeaveOneOutDenoiser {
    base.leavingOut(Tensor(positions).tiled(x.batch / positions.count))
  }
  func denoise(_ x: Tensor, at t: Double) -> Tensor { field(for: x).denoise(x, at: t) }
  func posterior(_ x: Tensor, at t: Double, along direction: Tensor?) -> PosteriorMoments {
    field(for: x).posterior(x, at: t, along: direction)
  }
}
