/** One seed for all properties of this floor, printed so that a failure can be run again: SQL_SEED=… */
export const seed = Number(process.env['SQL_SEED'] ?? 20_260);

console.log(`SQL_SEED=${seed}`);
