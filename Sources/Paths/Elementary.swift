import RealModule

/// The scalars a schedule is written in: `Double`, or ``Dual`` to differentiate it.
///
/// The magnitude of either is a `Double`: of a time, which is not negative, its value.
public protocol Elementary: AlgebraicField, ElementaryFunctions, ExpressibleByFloatLiteral, Sendable
where FloatLiteralType == Double, Magnitude == Double {
  init(_ value: Double)
}

extension Double: Elementary {}
