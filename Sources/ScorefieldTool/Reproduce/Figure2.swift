import Scorefield

/// Figure 2 of "Efficiently Access Diffusion Fisher": many samples of one class, ordered by their likelihood.
///
/// There it is samples of one prompt, and the eye judges; here they are digits, and a classifier and the distance to real
/// digits judge as well.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, figure 2.
struct Figure2 {
  struct Setup: Encodable {
    let digits: ConditionalDigits.Setup
    let classes: [Int]
    let samplesPerClass: Int
    let scale: Double
  }

  /// A quarter of the samples of a class, or of each class together.
  struct Row: Encodable {
    /// Nil for all classes.
    let label: Int?
    /// From 1, the likeliest.
    let quarter: Int
    let samples: Int
    let bitsPerDim, bitsPerDimError: Double
    let accuracy, accuracyError: Double
    let confidence, confidenceError: Double
    let distance, distanceError: Double
    /// The mean of all pixels, from 0 to 1.
    let ink, inkError: Double
  }

  /// Spearman's correlation with the bits per dimension, within classes.
  struct Correlation: Encodable {
    let with: String
    let label: Int?
    let spearman, standardError, p: Double
  }

  /// One sample.
  struct Sample: Encodable {
    let label: Int
    let bitsPerDim, confidence, distance, ink: Double
    let isRight: Bool
  }

  let setup: Setup
  let world: ConditionalDigits
  let heldOut: ConditionalDigits.HeldOut
  let rows: [Row]
  let correlations: [Correlation]
  /// Class after class, each with the likeliest first.
  let samples: [Sample]
  let picture: Tensor

  init(_ digits: DigitSet, budget: ReproduceDigits, quick: Bool, seed: UInt64) throws {
    let perClass = budget.samples ?? 64
    let budget = budget.training(quick: quick)
    let classes = quick ? [3, 5, 8] : [2, 3, 5, 8, 9]
    let scale = 1.5
    let steps = ConditionalDigits.steps(budget)
    let progress = Progress("figure2", total: steps + 100)
    let world = try ConditionalDigits(digits, budget: budget, seed: seed, progress: progress)
    self.world = world
    setup = Setup(
      digits: .init(
        known: digits.knownLevels.batch, heldOut: digits.heldOutLevels.batch, training: budget, isQuick: quick),
      classes: classes, samplesPerClass: perClass, scale: scale)
    heldOut = world.heldOut()
    let labels = classes.flatMap { [Int](repeating: $0, count: perClass) }
    let levels = world.samples(labels, scale: scale)
    progress.show(steps + 40, note: "likelihood")
    let bits = world.bits(of: levels, under: world.conditioned(on: labels))
    let judged = world.classifier.judgement(of: levels, classes: labels)
    let distances = world.distances(levels)
    let ink = (levels.to(.float64).flattened.mean(-1) / Double(DigitSet.scale.count - 1)).doubles
    progress.finish()

    let order = classes.indices.flatMap { index in
      (index * perClass..<(index + 1) * perClass).sorted { (bits[$0], $0) < (bits[$1], $1) }
    }
    let samples = order.map {
      Sample(
        label: labels[$0], bitsPerDim: bits[$0], confidence: judged.confidence[$0], distance: distances[$0],
        ink: ink[$0], isRight: judged.isRight[$0])
    }
    (self.samples, picture) = (samples, DigitSet.scale.scaled(levels.selecting(Tensor(order))))

    let groups = classes.indices.map { Array(samples[($0 * perClass)..<(($0 + 1) * perClass)]) }
    let size = perClass / 4
    rows = (0..<4).flatMap { quarter -> [Row] in
      let parts = groups.map { Array($0[(quarter * size)..<((quarter + 1) * size)]) }
      return [Self.row(nil, quarter + 1, parts.flatMap(\.self))]
        + zip(classes, parts).map { Self.row($0, quarter + 1, $1) }
    }
    correlations = [
      ("confidence", \Sample.confidence), ("distance to the nearest real digit", \Sample.distance),
      ("ink", \Sample.ink),
    ].flatMap { (name: String, value: KeyPath<Sample, Double>) -> [Correlation] in
      // The standard error of no correlation at all, which is what the p-value asks about.
      let own = groups.map { Statistics.spearman($0.map(\.bitsPerDim), $0.map { $0[keyPath: value] }) }
      func correlation(_ label: Int?, _ found: Double, _ count: Int) -> Correlation {
        let error = 1 / Double(count).squareRoot()
        return Correlation(
          with: name, label: label, spearman: found, standardError: error,
          p: Statistics.twoSidedP(found, standardError: error))
      }
      return [correlation(nil, Statistics.mean(own), classes.count * (perClass - 1))]
        + zip(classes, own).map { correlation($0, $1, perClass - 1) }
    }
  }

  private static func row(_ label: Int?, _ quarter: Int, _ samples: [Sample]) -> Row {
    func both(_ values: [Double]) -> (Double, Double) {
      (Statistics.mean(values), Statistics.standardError(values))
    }
    let (bits, confidence) = (both(samples.map(\.bitsPerDim)), both(samples.map(\.confidence)))
    let (distance, ink) = (both(samples.map(\.distance)), both(samples.map(\.ink)))
    let share = Double(samples.count { $0.isRight }) / Double(samples.count)
    return Row(
      label: label, quarter: quarter, samples: samples.count, bitsPerDim: bits.0, bitsPerDimError: bits.1,
      accuracy: 100 * share, accuracyError: 100 * Statistics.standardError(ofShare: share, of: samples.count),
      confidence: confidence.0, confidenceError: confidence.1, distance: distance.0, distanceError: distance.1,
      ink: ink.0, inkError: ink.1)
  }
}
