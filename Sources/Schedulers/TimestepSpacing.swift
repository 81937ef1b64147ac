import ScorefieldArrays

/// Which of the training's timesteps are visited, from the noise to the data.
enum TimestepSpacing: String, Sendable, CaseIterable {
  case linspace, leading, trailing

  /// The spacing of a file, with the offset of `leading`.
  struct Choice: Sendable {
    let spacing: TimestepSpacing
    let offset: Int

    /// Even spacing, from the first timestep to the last.
    static let linspace = Choice(spacing: .linspace, offset: 0)

    private init(spacing: TimestepSpacing, offset: Int) { (self.spacing, self.offset) = (spacing, offset) }

    init(_ file: inout SchedulerFile, _ standard: TimestepSpacing) throws(ArrayFileError) {
      spacing = try file.choice("timestep_spacing", standard, among: TimestepSpacing.allCases)
      offset = try file.count("steps_offset", 0, in: 0...1000)
    }

    /// `steps` of them, the first of `count` among them where the spacing is even.
    ///
    /// - Parameters:
    ///   - steps: How many.
    ///   - count: How many there are.
    ///   - whole: Whether even spacing is rounded to whole numbers.
    /// - Returns: Timesteps, falling.
    func all(_ steps: Int, of count: Int, whole: Bool) -> [Double] {
      switch spacing {
      case .linspace:
        let even = evenly(from: 0, to: Double(count - 1), steps)
        return (whole ? even.map { $0.rounded(.toNearestOrEven) } : even).reversed()
      case .leading: return leading(steps, count / steps)
      case .trailing: return trailing(steps, from: count, of: count)
      }
    }

    /// `steps` of them, without one that would be the end.
    func allButEnd(_ steps: Int, of count: Int, clipped: Int = 0) -> [Double] {
      let last = count - clipped
      switch spacing {
      case .linspace:
        return evenly(from: 0, to: Double(last - 1), steps + 1).map { $0.rounded(.toNearestOrEven) }.reversed()
          .dropLast()
      case .leading:
        return leading(steps + 1, last / (steps + 1)).dropLast()
      case .trailing: return trailing(steps, from: last, of: count)
      }
    }

    private func leading(_ steps: Int, _ ratio: Int) -> [Double] {
      (0..<steps).reversed().map { Double($0 * ratio + offset) }
    }

    private func trailing(_ steps: Int, from last: Int, of count: Int) -> [Double] {
      let ratio = Double(count) / Double(steps)
      return (0..<steps).map { (Double(last) - Double($0) * ratio).rounded(.toNearestOrEven) - 1 }.filter { $0 >= 0 }
    }
  }
}

/// Numbers at equal distances, both ends among them.
func evenly(from first: Double, to last: Double, _ count: Int) -> [Double] {
  guard count > 1 else { return [first] }
  let step = (last - first) / Double(count - 1)
  return (0..<count).map { $0 == count - 1 ? last : first + Double($0) * step }
}
