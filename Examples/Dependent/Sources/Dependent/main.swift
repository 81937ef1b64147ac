import Scorefield

// Two points on a line, seen through noise of size one: the field pulls towards the nearer one.
let model = EmpiricalDenoiser(data: Tensor([-1.0, 1.0], shape: [2, 1]), on: .edm)
let score = model.score(Tensor([0.5], shape: [1, 1]), at: 1).item
print("the score at 0.5 is \(score)")
