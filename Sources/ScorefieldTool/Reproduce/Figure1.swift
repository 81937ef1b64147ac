import Scorefield

/// Figure 1 of "Efficiently Access Diffusion Fisher": likelihood against how well samples are what was asked for, over scales
/// of guidance, on class-conditional digits.
///
/// There it is text-to-image with the CLIP score; here the class takes the place of the text, and the accuracy of a
/// classifier of ours that of the score.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, figure 1.
struct Figure1 {
  struct Setup: Encodable {
    let digits: ConditionalDigits.Setup
    let scales: [Double]
    let samplesPerClass: Int
  }

  /// One scale of guidance.
  struct Row: Encodable {
    let scale: Double
    let samples: Int
    /// How many of the samples the classifier takes for what was asked for, in percent.
    let accuracy, accuracyError: Double
    /// The classifier's mean probability of the class asked for.
    let confidence, confidenceError: Double
    /// Under the conditional model without guidance.
    let bitsPerDim, bitsPerDimError: Double
    /// The same by Hutchinson's estimate in place of the trace head.
    let probedBitsPerDim, probedBitsPerDimError: Double
    /// Under the guided flow the samples came from.
    let guidedBitsPerDim, guidedBitsPerDimError: Double
    /// To the nearest known digit.
    let distance, distanceError: Double
    /// The mean standard deviation of a pixel over the samples of a class.
    let diversity: Double
  }

  let setup: Setup
  let world: ConditionalDigits
  let heldOut: ConditionalDigits.HeldOut
  let rows: [Row]
  /// A few samples of each class, one row of pictures per scale.
  let picture: Tensor
  static let pictureColumns = 20

  init(_ digits: DigitSet, budget: ReproduceDigits, quick: Bool, seed: UInt64) throws {
    let perClass = budget.samples ?? (quick ? 12 : 50)
    let budget = budget.training(quick: quick)
    let scales = quick ? [1, 2, 4, 8] : [1, 1.5, 2, 3, 4, 6, 8, 12]
    let steps = ConditionalDigits.steps(budget)
    let progress = Progress("figure1", total: steps + 100 * scales.count)
    let world = try ConditionalDigits(digits, budget: budget, seed: seed, progress: progress)
    self.world = world
    setup = Setup(
      digits: .init(
        known: digits.knownLevels.batch, heldOut: digits.heldOutLevels.batch, training: budget, isQuick: quick),
      scales: scales, samplesPerClass: perClass)
    heldOut = world.heldOut()

    let classes = (0..<(10 * perClass)).map { $0 % 10 }
    var (rows, pictures): ([Row], [Tensor]) = ([], [])
    for (index, scale) in scales.enumerated() {
      progress.show(steps + 100 * index, note: "scale \(scale)")
      let levels = world.samples(classes, scale: scale)
      let judged = world.classifier.judgement(of: levels, classes: classes)
      let share = Double(judged.isRight.count { $0 }) / Double(classes.count)
      let bits = world.bits(of: levels, under: world.conditioned(on: classes))
      let probed = world.probedBits(of: levels, under: world.conditioned(on: classes))
      let guided =
        scale == 1 ? bits : world.bits(of: levels, under: world.guided(classes, scale: scale), networks: 2)
      let distances = world.distances(levels)
      // [sample of a class, class, …]
      let spread = DigitSet.scale.scaled(levels).reshaped(perClass, 10, 64).standardDeviation(0).mean().item
      rows.append(
        Row(
          scale: scale, samples: classes.count, accuracy: 100 * share,
          accuracyError: 100 * Statistics.standardError(ofShare: share, of: classes.count),
          confidence: Statistics.mean(judged.confidence),
          confidenceError: Statistics.standardError(judged.confidence), bitsPerDim: Statistics.mean(bits),
          bitsPerDimError: Statistics.standardError(bits), probedBitsPerDim: Statistics.mean(probed),
          probedBitsPerDimError: Statistics.standardError(probed), guidedBitsPerDim: Statistics.mean(guided),
          guidedBitsPerDimError: Statistics.standardError(guided), distance: Statistics.mean(distances),
          distanceError: Statistics.standardError(distances), diversity: spread))
      pictures.append(DigitSet.scale.scaled(levels[..<Self.pictureColumns]))
    }
    progress.finish()
    (self.rows, picture) = (rows, .concatenated(pictures))
  }
}
