import Scorefield

/// What each part of the recipe is worth: one is changed at a time, on one seed and a smaller budget.
extension Table2 {
  /// The rows, one per change and time.
  func ablation() -> [Row] {
    var generator = Generator(seed: setup.seeds[0])
    let data = Chessboard.points(setup.points, using: &generator)
    let single = data.to(.float32)
    let sigmaData = single.squared().mean().item.squareRoot()
    let (steps, batch, pool) = setup.isQuick ? (200, 256, 50_000) : (1500, 512, 250_000)
    let names = 7
    let progress = Progress("ablation", total: names * steps)
    var done = 0
    func settings(_ peak: Double) -> TrainingSettings {
      TrainingSettings(learningRate: .cosine(peak: peak, steps: steps + 1, warmup: steps / 15), beta2: 0.99)
    }
    func trained<O: Objective>(_ model: O.Model, _ objective: O, peak: Double = 4e-3) -> O.Model {
      run(model, objective, settings(peak), steps, batch, single, &generator, "") {
        done += $0
        progress.show(done, note: $1)
      }
    }
    func waves(_ configuration: FourierFeatures.Configuration = .init()) -> any Network {
      MultiscaleMLP(.init(dimension: 2, sigmaData: sigmaData, waves: configuration), using: &generator)
    }
    func model(_ network: any Network, _ form: (any TraceForm)? = nil) -> TraceMatchedDenoiser {
      TraceMatchedDenoiser(
        TwoHeaded(network, using: &generator), .edm(sigmaData: sigmaData),
        form: form ?? PosteriorVarianceForm(sigmaData: sigmaData), on: schedule)
    }
    func pooled(_ model: TraceMatchedDenoiser, loss: TraceLoss = .relative, weight: Double = 1) -> TraceMatchedDenoiser
    {
      let objective = PooledObjective(
        pool, of: single, times: recipeTimes, for: model, loss: loss, weight: weight, using: &generator)
      return trained(model, objective)
    }
    let weighting = Weighting.edm(sigmaData: sigmaData)
    var found: [(name: String, trace: @Sendable (Tensor, Double) -> Tensor)] = []
    func add(_ name: String, _ model: TraceMatchedDenoiser) {
      found.append((name, { model.fisher(at: $0, time: $1).trace() }))
    }

    add("the recipe, smaller budget", pooled(model(waves())))
    add("loss: squared", pooled(model(waves()), loss: .squared))
    add(
      "targets: single draws, squared",
      trained(
        model(waves(), PredictionErrorForm()),
        JointObjective(DenoisingObjective(times: recipeTimes, weighting: weighting, of: .data), loss: .squared)))
    // Only the trace is looked at, so the network of its own is the one whose denoiser weighs nothing.
    add("separate networks", pooled(model(waves()), weight: 1000))
    add("waves: coarse ones only", pooled(model(waves(.init(fineCount: 0)))))
    add(
      "waves: none", pooled(model(MLP(.init(dimension: 2, width: 256, depth: 3), using: &generator))))
    let plain = trained(
      NetworkDenoiser(
        MLP(.init(dimension: 2, width: 128, depth: 4), using: &generator), .edm(sigmaData: sigmaData), on: schedule),
      SecondOrderObjective(
        DenoisingObjective(
          times: recipeTimes, weighting: weighting, of: .data, targets: StableTargets(over: single))), peak: 1e-3)
    found.append(
      (
        "no trace head: second-order denoiser, full VJP",
        { FullTrace(VJPFisher(plain)).fisher(at: $0, time: $1).trace() }
      ))
    progress.finish()

    let field = EmpiricalDenoiser(data: data, on: schedule)
    let queries = Self.times.map { label -> (label: Double, t: Double, x: Tensor, truth: Tensor) in
      let (t, kernel) = (time(label), schedule.kernel(at: time(label)))
      let clean = data.selecting(Tensor.randomIntegers([setup.samples], in: 0..<data.batch, using: &generator))
      let x = kernel.alpha * clean + kernel.sigma * Tensor.normal(clean.shape, using: &generator)
      return (label, t, x, field.posterior(x, at: t).fisherTrace)
    }
    return found.flatMap { name, trace in
      queries.map { query in
        let errors = errors(of: trace(query.x, query.t), query.truth)
        return Row(
          method: name, time: query.label, l1: errors.l1, median: errors.median, mean: errors.mean, paper: nil,
          spread: [errors.l1, errors.l1], exactShare: nil, bound: nil, largestErrorToBound: nil)
      }
    }
  }
}
